// UTF-8, which the engine does not bring.

const CHUNK = 4096;

/** The UTF-8 bytes of a text. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return Uint8Array.from(bytes);
}

/** The text of UTF-8 bytes. Throws a `URIError` when they are none. */
export function decodeUtf8(bytes: Uint8Array): string {
  let ascii = true;
  for (let index = 0; ascii && index < bytes.length; index++) ascii = bytes[index]! < 0x80;
  if (!ascii) {
    let escaped = "";
    for (const byte of bytes) escaped += `%${byte < 16 ? "0" : ""}${byte.toString(16)}`;
    return decodeURIComponent(escaped);
  }
  let text = "";
  for (let from = 0; from < bytes.length; from += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(from, from + CHUNK) as unknown as number[]);
  }
  return text;
}
