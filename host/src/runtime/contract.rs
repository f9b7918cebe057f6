//! What the host offers to components and what makes a component a plugin, as tables.
//!
//! Linking would find every mismatch too, but says it in the engine's words. These tables say it in the
//! author's: which interface, which function, what there is instead. A test holds them against `wit/`.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::component::Role;
use super::lane::Lane;
use super::wit::Wit;
use super::{LoadError, mismatch};

/// The contract's WIT package.
pub(super) const PACKAGE: &str = "tidemill:plugin";
/// Its version. Components built for another patch version load too; a minor version is another contract.
pub(super) const PACKAGE_VERSION: &str = "0.1.1";
/// The optional export by which a component introduces itself.
pub(super) const DESCRIPTION: &str = "description";
/// How the name of an interface begins that may change or go in any version.
const UNSTABLE: &str = "unstable-";
/// The export by which a subscriber answers queries, too.
pub(super) const PROJECTION: &str = "projection";
/// The export that makes a component an upcaster.
pub(super) const UPCASTER: &str = "upcaster";
/// The export that makes a component a validator.
pub(super) const VALIDATOR: &str = "validator";
/// The export that makes a component decide commands.
pub(super) const AGGREGATE: &str = "aggregate";
/// The WASI release line that is linked.
pub(super) const WASI_VERSION: &str = "0.2";

/// One importable interface of the contract.
pub(super) struct Offered {
    pub(super) interface: &'static str,
    pub(super) functions: &'static [&'static str],
}

/// Everything a component may import from the contract's package.
pub(super) const OFFERED: &[Offered] = &[
    Offered { interface: "state", functions: &["get", "set", "delete", "scan"] },
    Offered { interface: "append", functions: &["append"] },
    Offered { interface: "dispatch", functions: &["dispatch"] },
    Offered { interface: "log", functions: &["log"] },
    Offered { interface: "config", functions: &["get"] },
    Offered { interface: "types", functions: &[] },
];

/// The WASI interfaces that the authority list links, in the form `package/interface`.
pub(super) const WASI_OFFERED: &[&str] = &[
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
];

/// Those that are linked for plugins that are granted HTTP.
const WASI_HTTP: &[&str] = &["wasi:http/types", "wasi:http/outgoing-handler"];

/// A name such as `tidemill:plugin/state@0.1.0`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InterfaceName<'a> {
    pub(super) package: &'a str,
    pub(super) interface: &'a str,
    pub(super) version: &'a str,
}

impl<'a> InterfaceName<'a> {
    /// None for a plain name, which belongs to no package.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, interface) = path.split_once('/')?;
        Some(Self { package, interface, version })
    }

    /// Whether it is one of those by which a guest sends requests.
    fn is_http(&self) -> bool {
        WASI_HTTP.contains(&self.path().as_str()) && compatible(self.version, WASI_VERSION)
    }

    /// The interface's name without its version.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.package, self.interface)
    }
}

/// Whether a component built for `wanted` can be served by `offered`: the same `0.minor` or, from 1, the
/// same major.
pub(super) fn compatible(wanted: &str, offered: &str) -> bool {
    fn line(version: &str) -> (Option<&str>, Option<&str>) {
        let mut parts = version.split('.');
        match parts.next() {
            Some("0") => (Some("0"), parts.next()),
            major => (major, None),
        }
    }
    line(wanted) == line(offered)
}

/// What a component imports of what is not for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Imports {
    /// Outbound HTTP.
    pub(super) http: bool,
}

/// Checks that everything a component imports is offered; HTTP is only where it is granted.
pub(super) fn check_imports(
    engine: &wasmtime::Engine,
    component: &Component,
    http: bool,
) -> Result<Imports, LoadError> {
    let mut imports = Imports::default();
    for (name, import) in component.component_type().imports(engine) {
        match (&import.ty, InterfaceName::parse(name)) {
            (ComponentItem::Type(_), _) => {}
            (ComponentItem::ComponentInstance(_), Some(wanted)) if wanted.is_http() => {
                if !http {
                    return Err(LoadError::HttpNotGranted { import: name.to_owned() });
                }
                imports.http = true;
            }
            (ComponentItem::ComponentInstance(instance), Some(wanted)) => {
                let functions = instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| function);
                check_interface(name, wanted, functions)?;
            }
            _ => return Err(missing(name)),
        }
    }
    Ok(imports)
}

/// Checks that a component imports nothing by which it could act, or come to another result.
pub(super) fn check_pure(engine: &wasmtime::Engine, component: &Component) -> Result<(), LoadError> {
    acting_import(engine, component, &[]).map_or(Ok(()), |import| Err(LoadError::NotPure { import }))
}

/// The first import by which a component could act, but for interfaces of the contract that it may have.
fn acting_import(engine: &wasmtime::Engine, component: &Component, may: &[&str]) -> Option<String> {
    let acts = |name: &str| {
        InterfaceName::parse(name).is_some_and(|name| {
            name.is_http() || (name.package == PACKAGE && name.interface != "types" && !may.contains(&name.interface))
        })
    };
    component.component_type().imports(engine).map(|(name, _)| name).find(|name| acts(name)).map(str::to_owned)
}

fn check_interface<'a>(
    name: &str,
    wanted: InterfaceName<'_>,
    mut functions: impl Iterator<Item = &'a str>,
) -> Result<(), LoadError> {
    if wanted.package.starts_with("wasi:") {
        return check_wasi(name, wanted);
    }
    if wanted.package != PACKAGE || !compatible(wanted.version, PACKAGE_VERSION) {
        return Err(missing(name));
    }
    let offered = OFFERED.iter().find(|offered| offered.interface == wanted.interface).ok_or_else(|| missing(name))?;
    match functions.find(|function| !offered.functions.contains(function)) {
        None => Ok(()),
        Some(function) => Err(LoadError::MissingFunction {
            interface: name.to_owned(),
            function: function.to_owned(),
            advice: format!("there is {}", offered.functions.join(", ")),
        }),
    }
}

fn check_wasi(name: &str, wanted: InterfaceName<'_>) -> Result<(), LoadError> {
    if wanted.package == "wasi:sockets" {
        return Err(LoadError::NotGranted { import: name.to_owned() });
    }
    if WASI_OFFERED.contains(&wanted.path().as_str()) && compatible(wanted.version, WASI_VERSION) {
        return Ok(());
    }
    Err(missing(name))
}

fn missing(name: &str) -> LoadError {
    LoadError::MissingImport { import: name.to_owned(), advice: mismatch::missing_import(name) }
}

/// Refuses a component that uses an unstable interface which its manifest does not name in `allowed`.
pub(super) fn check_unstable(
    engine: &wasmtime::Engine,
    component: &Component,
    allowed: &[String],
) -> Result<(), LoadError> {
    let ty = component.component_type();
    let names = ty.imports(engine).map(|(name, _)| name).chain(ty.exports(engine).map(|(name, _)| name));
    let mut unstable = names
        .filter_map(InterfaceName::parse)
        .filter(|name| name.package == PACKAGE && name.interface.starts_with(UNSTABLE))
        .map(|name| name.interface);
    match unstable.find(|interface| !allowed.iter().any(|named| named == interface)) {
        Some(interface) => Err(unstable_of(interface, &offered_unstable())),
        None => Ok(()),
    }
}

/// The unstable interfaces of this host.
fn offered_unstable() -> Vec<&'static str> {
    let names = Wit::contract().into_iter().flat_map(|contract| contract.interfaces.keys());
    names.map(String::as_str).filter(|interface| interface.starts_with(UNSTABLE)).collect()
}

/// Why a component that uses an unstable interface is refused by a host that has these.
fn unstable_of(interface: &str, offered: &[&str]) -> LoadError {
    let interface = interface.to_owned();
    if offered.contains(&interface.as_str()) {
        return LoadError::Unstable { interface };
    }
    let there_is = match offered {
        [] => "there is no unstable interface at present".to_owned(),
        names => format!("of unstable interfaces there is {}", names.join(", ")),
    };
    LoadError::NoUnstable { interface, there_is }
}

/// What of a component's exports the host knows, under the full names the component gives them.
#[derive(Debug, Default)]
pub(super) struct KnownExports {
    /// The interface that makes it a subscriber, and the lane that it is: the best, if there are several.
    pub(super) subscriber: Option<(Lane, String)>,
    /// The interface by which it answers queries.
    pub(super) projection: Option<String>,
    /// The interface that makes it decide commands.
    pub(super) aggregate: Option<String>,
    /// The interface by which it introduces itself.
    pub(super) description: Option<String>,
    /// The interface that makes it an upcaster.
    upcaster: Option<String>,
    /// The interface that makes it a validator.
    validator: Option<String>,
}

impl KnownExports {
    /// Finds them, and requires at least one that makes a role. That there are not two is looked at before, by
    /// [`Anatomy::check_one_role`](super::Anatomy).
    pub(super) fn of(engine: &wasmtime::Engine, component: &Component) -> Result<Self, LoadError> {
        let (known, found) = Self::found(engine, component);
        if known.aggregate.is_some() || known.subscriber.is_some() {
            return Ok(known);
        }
        let upcaster = known.upcaster.map(|export| LoadError::Misplaced { export });
        let validator = known.validator.map(|export| LoadError::MisplacedValidator { export });
        Err(upcaster.or(validator).unwrap_or_else(|| LoadError::no_role(&found)))
    }

    /// The interface that makes a component an upcaster; what acts may not be imported then.
    pub(super) fn upcaster(engine: &wasmtime::Engine, component: &Component) -> Result<String, LoadError> {
        let (known, found) = Self::found(engine, component);
        let upcaster = known.upcaster.ok_or_else(|| LoadError::no_upcaster(&found))?;
        acting_import(engine, component, &[]).map_or(Ok(upcaster), |import| Err(LoadError::Impure { import }))
    }

    /// The interface that makes a component a validator; of what acts it may import its configuration only.
    pub(super) fn validator(engine: &wasmtime::Engine, component: &Component) -> Result<String, LoadError> {
        let (known, found) = Self::found(engine, component);
        let validator = known.validator.ok_or_else(|| LoadError::no_validator(&found))?;
        let acting = acting_import(engine, component, &["config"]);
        acting.map_or(Ok(validator), |import| Err(LoadError::ImpureValidator { import }))
    }

    /// What the host knows of the exports, and the names of all.
    fn found(engine: &wasmtime::Engine, component: &Component) -> (Self, Vec<String>) {
        let mut known = Self::default();
        let mut found = Vec::new();
        for (name, _) in component.component_type().exports(engine) {
            found.push(name.to_owned());
            let ours = InterfaceName::parse(name)
                .filter(|name| name.package == PACKAGE && compatible(name.version, PACKAGE_VERSION));
            let Some(InterfaceName { interface, .. }) = ours else { continue };
            if let Some(lane) = Lane::ALL.into_iter().find(|lane| lane.interface() == interface) {
                known.subscriber = known.subscriber.max(Some((lane, name.to_owned())));
            } else if interface == PROJECTION {
                known.projection = Some(name.to_owned());
            } else if interface == AGGREGATE {
                known.aggregate = Some(name.to_owned());
            } else if interface == DESCRIPTION {
                known.description = Some(name.to_owned());
            } else if interface == UPCASTER {
                known.upcaster = Some(name.to_owned());
            } else if interface == VALIDATOR {
                known.validator = Some(name.to_owned());
            }
        }
        (known, found)
    }

    /// The roles they make.
    pub(super) fn roles(&self) -> Vec<Role> {
        let subscriber = self.subscriber.iter().map(|_| Role::Subscriber);
        let projection = self.projection.iter().map(|_| Role::Projection);
        subscriber.chain(projection).chain(self.aggregate.iter().map(|_| Role::Aggregate)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The functions of every interface in `wit/`, by reading the text.
    fn wit_functions() -> BTreeSet<(String, String)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let mut functions = BTreeSet::new();
        let paths = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "wit")) {
            let text = fs::read_to_string(path).unwrap();
            // One file of a package is enough to say it.
            let packages = text.lines().filter(|line| line.starts_with("package "));
            packages.for_each(|line| assert_eq!(line, format!("package {PACKAGE}@{PACKAGE_VERSION};")));
            let mut interface = String::new();
            for line in text.lines() {
                if let Some(name) = line.strip_prefix("interface ") {
                    interface = name.trim_end_matches(" {").to_owned();
                } else if let Some((name, _)) = line.trim().split_once(": func(") {
                    functions.insert((interface.clone(), name.to_owned()));
                }
            }
        }
        functions
    }

    #[test]
    fn the_table_is_what_wit_says() {
        let mut table: BTreeSet<_> = OFFERED
            .iter()
            .flat_map(|offered| offered.functions.iter().map(|name| (offered.interface.to_owned(), (*name).to_owned())))
            .collect();
        table.extend(Lane::ALL.map(|lane| (lane.interface().to_owned(), "handle".to_owned())));
        table.insert((PROJECTION.into(), "query".into()));
        table.insert((DESCRIPTION.into(), "describe".into()));
        table.extend(["lifts", "upcast"].map(|function| (UPCASTER.to_owned(), function.to_owned())));
        table.insert((VALIDATOR.into(), "validate".into()));
        table.extend(["snapshot-schema", "apply", "decide", "snapshot"].map(|name| (AGGREGATE.into(), name.into())));
        assert_eq!(table, wit_functions());
        assert_eq!(tidemill_templates::contract(), format!("{PACKAGE}@{PACKAGE_VERSION}"));
    }

    #[test]
    fn what_is_unstable_is_offered_for_a_line_in_the_manifest_only_where_it_is() {
        let of = |offered: &[&str]| unstable_of("unstable-timers", offered).to_string();
        assert!(of(&["unstable-timers"]).contains("write unstable = ['unstable-timers']"));
        for (offered, there_is) in
            [(&[][..], "there is no unstable interface"), (&["unstable-clocks"][..], "there is unstable-clocks")]
        {
            let said = of(offered);
            assert!(said.contains("this host does not have") && said.contains(there_is), "{said}");
            assert!(!said.contains("unstable = ["), "{said}");
        }
    }

    #[test]
    fn versions_are_compatible_along_a_line() {
        assert!(compatible("0.1.7", "0.1.0") && compatible("0.2.12", "0.2") && compatible("1.9.0", "1.0.0"));
        assert!(!compatible("0.2.0", "0.1.0") && !compatible("1.0.0", "0.1.0") && !compatible("", "0.1.0"));
    }
}
