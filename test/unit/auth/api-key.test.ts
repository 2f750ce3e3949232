import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeApiKey, PUBLIC_ID, publicId } from "../../../src/auth/api-key";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM_LENGTH = 6;

const aKey = fc.constant(null).map(() => makeApiKey().key);
/** A place in a text of the length that keys have. */
const aPlace = fc.nat({ max: makeApiKey().key.length - 1 });

/** The random part of a key, without the checksum. */
function secretOf(key: string): string {
  return (key.split("_")[2] ?? "").slice(0, -CHECKSUM_LENGTH);
}

describe("a new key", () => {
  it("names itself by its public id", () => {
    const { id, key } = makeApiKey();
    expect(key).toMatch(/^pay_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/);
    expect(key.split("_")[1]).toBe(id);
    expect(id).toMatch(PUBLIC_ID);
    expect(publicId(key)).toBe(id);
  });

  it("ends in the CRC-32 of what comes before, in base62", () => {
    fc.assert(
      fc.property(aKey, (key) => {
        let value = 0;
        for (const digit of key.slice(-CHECKSUM_LENGTH)) value = value * ALPHABET.length + ALPHABET.indexOf(digit);
        expect(value).toBe(crc32(key.slice(0, -CHECKSUM_LENGTH)));
      }),
    );
  });

  it("holds 190 random bits, of which no character is likelier than another", () => {
    const secrets = Array.from({ length: 5_000 }, () => secretOf(makeApiKey().key));
    expect(Math.min(...secrets.map((secret) => secret.length)) * Math.log2(ALPHABET.length)).toBeGreaterThan(190);
    const counts = new Map<string, number>();
    for (const character of secrets.join("")) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect([...counts.keys()].sort().join("")).toBe(ALPHABET);
    const even = secrets.join("").length / ALPHABET.length;
    // Six standard deviations. Bytes taken modulo 62 would give the first eight characters a fifth more.
    for (const count of counts.values()) expect(Math.abs(count / even - 1)).toBeLessThan(6 / Math.sqrt(even));
  });

  it("is like no other", () => {
    const made = Array.from({ length: 5_000 }, () => makeApiKey());
    expect(new Set(made.map(({ id }) => id)).size).toBe(made.length);
    expect(new Set(made.map(({ key }) => secretOf(key))).size).toBe(made.length);
  });
});

describe("a typing error is known to be one:", () => {
  const typed = fc.oneof(fc.constantFrom(...ALPHABET, "_", "-", " "), fc.string({ minLength: 1, maxLength: 1 }));

  it("any character changed", () => {
    fc.assert(
      fc.property(aKey, aPlace, typed, (key, place, character) => {
        fc.pre(key.charAt(place) !== character);
        expect(publicId(key.slice(0, place) + character + key.slice(place + 1))).toBeNull();
      }),
      { numRuns: 5_000 },
    );
  });

  it("any two neighbours swapped", () => {
    fc.assert(
      fc.property(aKey, aPlace, (key, place) => {
        const [one, other] = [key.charAt(place), key.charAt(place + 1)];
        fc.pre(other !== "" && one !== other);
        expect(publicId(key.slice(0, place) + other + one + key.slice(place + 2))).toBeNull();
      }),
      { numRuns: 5_000 },
    );
  });

  it("a character left out, or put in", () => {
    fc.assert(
      fc.property(aKey, aPlace, typed, (key, place, character) => {
        expect(publicId(key.slice(0, place) + key.slice(place + 1))).toBeNull();
        expect(publicId(key.slice(0, place) + character + key.slice(place))).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  it("another case, and space around", () => {
    const { key } = makeApiKey();
    for (const wrong of [key.toUpperCase(), key.toLowerCase(), ` ${key}`, `${key} `, `${key}\n`, key + key]) {
      expect(publicId(wrong)).toBeNull();
    }
  });
});

it("takes no other text for a key", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(publicId(text)).toBeNull();
    }),
  );
});

it("knows the keys that are about: their format never changes", () => {
  expect(publicId("pay_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef09WLMI")).toBe("0123456789ab");
});
