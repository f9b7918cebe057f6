// UTF-8, which the engine does not bring. By way of texts with one character for each byte: the engine's own
// functions over those are many times faster than a loop of its interpreter.

/** Most arguments of one call. */
const CHUNK = 4096;
const NOT_ASCII = /[^\x00-\x7f]/;

/** The UTF-8 bytes of a text. Throws a `URIError` for half a surrogate pair. */
export function encodeUtf8(text: string): Uint8Array {
  const binary = NOT_ASCII.test(text) ? unescape(encodeURIComponent(text)) : text;
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** The text of UTF-8 bytes. Throws a `URIError` when they are none. */
export function decodeUtf8(bytes: Uint8Array): string {
  let binary = "";
  for (let from = 0; from < bytes.length; from += CHUNK) {
    binary += String.fromCharCode.apply(null, bytes.subarray(from, from + CHUNK) as unknown as number[]);
  }
  return NOT_ASCII.test(binary) ? decodeURIComponent(escape(binary)) : binary;
}
