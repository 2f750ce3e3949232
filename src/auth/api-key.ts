/**
 * API keys: `pay_<public id>_<secret><checksum>`, all of it base62. The public id names the key in lists,
 * events and logs. The checksum tells a typing error from a key without a look-up, and lets scanners that
 * look for leaked keys be sure. What is stored is the SHA-256 of the whole key.
 */

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC_ID_LENGTH = 12;
/** 32 characters of base62 are 190 bits. */
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;

export const PUBLIC_ID = new RegExp(`^[0-9A-Za-z]{${PUBLIC_ID_LENGTH}}$`);
const FORMAT = new RegExp(
  `^(pay_([0-9A-Za-z]{${PUBLIC_ID_LENGTH}})_[0-9A-Za-z]{${SECRET_LENGTH}})([0-9A-Za-z]{${CHECKSUM_LENGTH}})$`,
);

/** A new key. It is shown to whoever asked for it, and nobody after that. */
export function makeApiKey(): { id: string; key: string } {
  const id = randomText(PUBLIC_ID_LENGTH);
  const body = `pay_${id}_${randomText(SECRET_LENGTH)}`;
  return { id, key: body + checksum(body) };
}

/** The public id of a key, or null when the text is not a key. */
export function publicId(key: string): string | null {
  const [, body, id, sum] = FORMAT.exec(key) ?? [];
  return body !== undefined && id !== undefined && checksum(body) === sum ? id : null;
}

/** Each character equally likely: bytes beyond the last whole alphabet are drawn again. */
function randomText(length: number): string {
  const fair = 256 - (256 % ALPHABET.length);
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      if (byte < fair && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}

/** CRC-32 (ISO 3309) of an ASCII text, in base62. */
function checksum(text: string): string {
  let crc = 0xffffffff;
  for (let n = 0; n < text.length; n++) {
    crc ^= text.charCodeAt(n);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  let [rest, digits] = [(crc ^ 0xffffffff) >>> 0, ""];
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit++) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}
