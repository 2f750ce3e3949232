import { createHmac, hkdfSync } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  administratorId,
  isIssued,
  makeAdministratorKey,
  makeApiKey,
  PUBLIC_ID,
  publicId,
} from "../../../src/auth/api-key";
import { checksumKeys, makeSecretsKeys, readSecretsKeys, rotateSecretsKeys } from "../../../src/auth/secret-keys";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM_LENGTH = 6;

const TODAY = new Date("2026-11-25T12:00:00Z");
const SECRETS = makeSecretsKeys(TODAY);
const secrets = await checksumKeys(SECRETS);
const make = () => makeApiKey(secrets);
const isOurs = async (key: string) => isIssued(key, await checksumKeys(SECRETS));
const { key: KEY } = await make();

/** The random part of a key, without the checksum. */
function secretOf(key: string): string {
  return (key.split("_")[2] ?? "").slice(0, -CHECKSUM_LENGTH);
}

describe("a new key", () => {
  it("names itself by its public id, and is known to be issued", async () => {
    const { id, key } = await make();
    expect(key).toMatch(/^pay_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/);
    expect(key.split("_")[1]).toBe(id);
    expect(id).toMatch(PUBLIC_ID);
    expect(publicId(key)).toBe(id);
    expect(await isOurs(key)).toBe(true);
  });

  it("is not made without a key for its checksum", async () => {
    await expect(makeApiKey([])).rejects.toThrow("There is no key to make checksums with");
  });

  it.each(["", "a", "0123456789a", "0123456789abc", "0123456789a_", " 0123456789a", "0123456789ab "])(
    "has no public id like %j",
    (id) => {
      expect(id).not.toMatch(PUBLIC_ID);
    },
  );

  it("holds 190 random bits, of which no character is likelier than another", async () => {
    const keys = await Promise.all(Array.from({ length: 5_000 }, make));
    const made = keys.map(({ key }) => secretOf(key));
    expect(Math.min(...made.map((secret) => secret.length)) * Math.log2(ALPHABET.length)).toBeGreaterThan(190);
    const counts = new Map<string, number>();
    for (const character of made.join("")) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect([...counts.keys()].sort().join("")).toBe(ALPHABET);
    const even = made.join("").length / ALPHABET.length;
    // Six standard deviations. Bytes taken modulo 62 would give the first eight characters a fifth more.
    for (const count of counts.values()) expect(Math.abs(count / even - 1)).toBeLessThan(6 / Math.sqrt(even));
  });

  it("is like no other", async () => {
    const made = await Promise.all(Array.from({ length: 5_000 }, make));
    expect(new Set(made.map(({ id }) => id)).size).toBe(made.length);
    expect(new Set(made.map(({ key }) => secretOf(key))).size).toBe(made.length);
  });
});

it("ends in 48 bits of an HMAC-SHA-256 of what comes before, under a key that HKDF derives, in base62", async () => {
  const [secret] = readSecretsKeys(SECRETS) ?? [];
  if (!secret) throw new Error("There is no key");
  const derived = hkdfSync("sha256", secret.key, "", "payment-service api-key checksum", 32);
  for (let n = 0; n < 100; n++) {
    const { key } = await make();
    const mac = createHmac("sha256", Buffer.from(derived)).update(key.slice(0, -CHECKSUM_LENGTH)).digest();
    let value = 0;
    for (const digit of key.slice(-CHECKSUM_LENGTH)) value = value * ALPHABET.length + ALPHABET.indexOf(digit);
    expect(value).toBe(mac.readUIntBE(0, 6) % ALPHABET.length ** CHECKSUM_LENGTH);
  }
});

describe("what was never issued is known to be nothing:", () => {
  it("a key whose checksum is a CRC-32, or another service's", async () => {
    expect(await isOurs(makeAdministratorKey())).toBe(false);
    const others = await checksumKeys(makeSecretsKeys(TODAY));
    expect(await isOurs((await makeApiKey(others)).key)).toBe(false);
  });

  it("any character changed", async () => {
    const typed = fc.oneof(fc.constantFrom(...ALPHABET, "_", "-", " "), fc.string({ minLength: 1, maxLength: 1 }));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: KEY.length - 1 }), typed, async (place, character) => {
        fc.pre(KEY.charAt(place) !== character);
        expect(await isOurs(KEY.slice(0, place) + character + KEY.slice(place + 1))).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it("any two neighbours swapped, and any one left out", async () => {
    for (let place = 0; place < KEY.length; place++) {
      const [one, other] = [KEY.charAt(place), KEY.charAt(place + 1)];
      if (other !== "" && one !== other)
        expect(await isOurs(KEY.slice(0, place) + other + one + KEY.slice(place + 2))).toBe(false);
      expect(await isOurs(KEY.slice(0, place) + KEY.slice(place + 1))).toBe(false);
    }
  });

  it("another case, space around, and any other text", async () => {
    for (const wrong of [KEY.toUpperCase(), KEY.toLowerCase(), ` ${KEY}`, `${KEY} `, `${KEY}\n`, KEY + KEY, ""]) {
      expect(await isOurs(wrong)).toBe(false);
    }
  });

  it("a checksum of 6 of 62 characters: none is likelier than another", async () => {
    const counts = new Map<string, number>();
    const made = await Promise.all(Array.from({ length: 5_000 }, make));
    for (const character of made.map(({ key }) => key.slice(-CHECKSUM_LENGTH)).join("")) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    const even = (5_000 * CHECKSUM_LENGTH) / ALPHABET.length;
    expect(counts.size).toBe(ALPHABET.length);
    for (const count of counts.values()) expect(Math.abs(count / even - 1)).toBeLessThan(6 / Math.sqrt(even));
  });
});

it("takes no other text for a key", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(publicId(text)).toBeNull();
      expect(administratorId(text)).toBeNull();
    }),
  );
});

describe("the administrator's key", () => {
  it("has the form of a key, and ends in the CRC-32 of what comes before, in base62", () => {
    const key = makeAdministratorKey();
    expect(administratorId(key)).toBe(publicId(key));
    let value = 0;
    for (const digit of key.slice(-CHECKSUM_LENGTH)) value = value * ALPHABET.length + ALPHABET.indexOf(digit);
    expect(value).toBe(crc32(key.slice(0, -CHECKSUM_LENGTH)));
  });

  it("is not one with a typing error, and no key that the service issues is one", async () => {
    const key = makeAdministratorKey();
    for (let place = 4; place < key.length; place++) {
      const typed = key.charAt(place) === "0" ? "1" : "0";
      expect(administratorId(key.slice(0, place) + typed + key.slice(place + 1))).toBeNull();
    }
    expect(administratorId((await make()).key)).toBeNull();
  });
});

describe("the secret SECRETS_KEYS", () => {
  it("is made with one key of 32 bytes, whose id says the day", () => {
    const [made, ...more] = readSecretsKeys(SECRETS) ?? [];
    expect(more).toEqual([]);
    expect(made?.id).toMatch(/^2026-11-25-[\w-]{4}$/);
    expect(made?.key).toHaveLength(32);
    expect(makeSecretsKeys(TODAY)).not.toBe(SECRETS);
  });

  it("lets in what its older keys have issued, and issues under the newest", async () => {
    const next = makeSecretsKeys(TODAY);
    const rotated = await checksumKeys(`${next},${SECRETS}`);
    expect(await isIssued(KEY, rotated)).toBe(true);
    const { key } = await makeApiKey(rotated);
    expect(await isIssued(key, await checksumKeys(next))).toBe(true);
    expect(await isIssued(key, await checksumKeys(SECRETS))).toBe(false);
    expect(await isIssued(KEY, await checksumKeys(next))).toBe(false);
  });

  it("is rotated with a new key in front of its own, which stay as they are", () => {
    const rotated = rotateSecretsKeys(` ${SECRETS}\n`, TODAY);
    const keys = rotated.ok ? rotated.keys : "";
    expect(keys).toMatch(/^2026-11-25-[\w-]{4}:[\w-]{43},/);
    expect(keys.slice(keys.indexOf(",") + 1)).toBe(SECRETS);
    expect(readSecretsKeys(keys)?.slice(1)).toEqual(readSecretsKeys(SECRETS));
    const nine = Array.from({ length: 9 }, (_, n) => `k${n}:${"A".repeat(43)}`).join(",");
    expect(rotateSecretsKeys(nine, TODAY).ok).toBe(true);
    expect(rotateSecretsKeys(`${nine},k9:${"A".repeat(43)}`, TODAY)).toEqual({
      ok: false,
      detail: "It has 10 keys already: take out one that nothing names any more",
    });
  });

  it.each(["", "SECRETS_KEYS=", "secret", `${SECRETS},`, `${SECRETS}\n${SECRETS}`])(
    "is not rotated where it is %j",
    (text) => {
      const detail = "It holds something else than keys that `npm run secrets-key` has made";
      expect(rotateSecretsKeys(text, TODAY)).toEqual({ ok: false, detail });
    },
  );

  it.each(["", "secret", "id:", ":key", `a:${"A".repeat(42)}`, `a:${"A".repeat(44)}`, `a b:${"A".repeat(43)}`])(
    "is not %j",
    (text) => {
      expect(readSecretsKeys(text)).toBeNull();
    },
  );

  it("has at most ten keys, each with an id of its own", () => {
    const keys = (count: number) => Array.from({ length: count }, (_, n) => `k${n}:${"A".repeat(43)}`).join(",");
    expect(readSecretsKeys(keys(10))).toHaveLength(10);
    expect(readSecretsKeys(keys(11))).toBeNull();
    expect(readSecretsKeys(`${keys(1)},${keys(1)}`)).toBeNull();
    expect(readSecretsKeys(keys(2).replace(",", ", "))?.map(({ id }) => id)).toEqual(["k0", "k1"]);
  });
});

it("knows the keys that are about: their format never changes", async () => {
  const key = "pay_0123456789ab_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
  expect(administratorId(`${key}09WLMI`)).toBe("0123456789ab");
  expect(await isIssued(`${key}K40Pux`, await checksumKeys(`k1:${"A".repeat(42)}E`))).toBe(true);
});
