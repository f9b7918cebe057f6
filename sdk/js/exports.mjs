// Holds what a bundle exports against what its world asks for: `node exports.mjs WORLD`, after `esbuild --metafile`.
// The engine binds by name, and only when it is called.

import { readdirSync, readFileSync } from "node:fs";

const META = "build/meta.json";
const WIT = "wit";

/** The lines of every world, by its name. */
function worlds() {
  const files = readdirSync(WIT).filter((file) => file.endsWith(".wit"));
  const text = files.map((file) => readFileSync(`${WIT}/${file}`, "utf8")).join("\n").replace(/\/\/.*/g, "");
  const found = text.matchAll(/^world ([\w-]+) \{([^}]*)\}/gm);
  return new Map(Array.from(found, ([, name, lines]) => [name, lines.split(";").map((line) => line.trim())]));
}

/** What a world asks for, by the names that the engine has for it. A world that is not there is not ours to judge. */
function wanted(all, world) {
  return (all.get(world) ?? []).flatMap((line) => {
    const [what, name] = line.split(" ");
    if (what === "include") return wanted(all, name);
    return what === "export" ? [bound(name)] : [];
  });
}

/** The engine's name for an export: that of a function, or of an interface without its package and version. */
function bound(name) {
  const last = name.replace(/^.*\//, "").replace(/[:@].*/, "");
  return last.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
}

const world = process.argv[2];
const bundle = Object.values(JSON.parse(readFileSync(META, "utf8")).outputs).find(({ entryPoint }) => entryPoint);
const missing = wanted(worlds(), world).filter((name) => !bundle.exports.includes(name));
if (missing.length > 0) {
  const quoted = (names) => names.map((name) => `\`${name}\``).join(" and ");
  const exported = bundle.exports.length > 0 ? quoted(bundle.exports) : "nothing";
  console.error(`${bundle.entryPoint} must export ${quoted(missing)}, for the world ${world}; it exports ${exported}`);
  process.exit(1);
}
