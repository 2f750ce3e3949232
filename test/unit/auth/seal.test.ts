import { createDecipheriv, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { open, type SealedPlace, seal } from "../../../src/auth/seal";
import { checksumKeys, makeSecretsKeys, readSecretsKeys } from "../../../src/auth/secret-keys";

const OLD = makeSecretsKeys(new Date("2026-10-01T00:00:00Z"));
const NEW = makeSecretsKeys(new Date("2026-11-01T00:00:00Z"));
const PLACE: SealedPlace = { account: "acct_1", merchantId: 7, field: "operations/17/2/request" };
const TOKEN = '{"paymentMethod":"pm_1Abc"}';
const idOf = (keys: string) => readSecretsKeys(keys)?.[0]?.id;

describe("a sealed text", () => {
  it("opens where it was sealed for, whatever it is", async () => {
    const unicode = fc.string({ unit: "binary", maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(unicode, async (text) => {
        expect(await open(await seal(text, PLACE, NEW), PLACE, NEW)).toEqual({ tag: "opened", text });
      }),
      { numRuns: 30, examples: [[""], [TOKEN], ["\ufeffmarked"]] },
    );
  }, 60_000);

  it("names its version and the key, and has an IV of its own of 12 bytes", async () => {
    const sealed = await Promise.all(Array.from({ length: 200 }, () => seal(TOKEN, PLACE, NEW)));
    const ivs = sealed.map((text) => {
      const [version, keyId, iv = "", ciphertext = "", ...rest] = text.split(".");
      expect([version, keyId, rest]).toEqual(["v1", idOf(NEW), []]);
      expect(Buffer.from(iv, "base64url")).toHaveLength(12);
      expect(Buffer.from(ciphertext, "base64url")).toHaveLength(TOKEN.length + 16);
      return iv;
    });
    expect(new Set(ivs).size).toBe(200);
  });

  it("is what other software makes of the same: AES-256-GCM under HKDF-SHA-256 of the key, bound to its place", async () => {
    const [, keyId, iv = "", ciphertext = ""] = (await seal(TOKEN, PLACE, NEW)).split(".");
    const key = readSecretsKeys(NEW)?.[0]?.key ?? new Uint8Array();
    const derived = hkdfSync("sha256", key, new Uint8Array(0), "payment-service seal", 32);
    const decipher = createDecipheriv("aes-256-gcm", new Uint8Array(derived), Buffer.from(iv, "base64url"));
    const bytes = Buffer.from(ciphertext, "base64url");
    decipher.setAAD(Buffer.from(`acct_1|7|operations/17/2/request|${keyId}`));
    decipher.setAuthTag(bytes.subarray(-16));
    const text = Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]);
    expect(text.toString()).toBe(TOKEN);
  });

  it("does not contain what was sealed", async () => {
    expect(await seal(TOKEN, PLACE, NEW)).not.toContain("pm_1Abc");
  });

  it.each([
    ["another account", { account: "acct_2" }],
    ["another merchant", { merchantId: 8 }],
    ["another row", { field: "operations/17/3/request" }],
    ["another field", { field: "operations/17/2/failure" }],
  ])("does not open in %s", async (_, other) => {
    const sealed = await seal(TOKEN, PLACE, NEW);
    expect(await open(sealed, { ...PLACE, ...other }, NEW)).toEqual({ tag: "not_authentic" });
  });

  it("does not open when a single character of it is another one", async () => {
    const sealed = await seal(TOKEN, PLACE, NEW);
    for (const [index, character] of [...sealed].entries()) {
      for (const other of ["A", "B", ".", "=", " ", "é"].filter((one) => one !== character)) {
        const altered = `${sealed.slice(0, index)}${other}${sealed.slice(index + 1)}`;
        expect((await open(altered, PLACE, NEW)).tag, altered).toMatch(/^(not_authentic|key_missing)$/);
      }
    }
  });

  it("does not open when a part of it is missing or too much", async () => {
    const sealed = await seal(TOKEN, PLACE, NEW);
    const parts = sealed.split(".");
    const broken = [
      ...["", "v1", "v1...", "plain text", TOKEN, `${sealed}.`, `${sealed}.AAAA`, sealed.slice(0, -1), sealed.slice(1)],
      ...parts.map((_, index) => parts.filter((__, other) => other !== index).join(".")),
      ...parts.map((_, index) => parts.map((part, other) => (other === index ? "" : part)).join(".")),
      // Shorter than its tag.
      [...parts.slice(0, 3), "AAAA"].join("."),
    ];
    for (const text of broken) expect(await open(text, PLACE, NEW), text).toEqual({ tag: "not_authentic" });
  });
});

describe("the keys", () => {
  it("seals with the newest, and opens with any that is listed", async () => {
    const before = await seal(TOKEN, PLACE, OLD);
    const after = await seal(TOKEN, PLACE, `${NEW},${OLD}`);
    expect(after.split(".")[1]).toBe(idOf(NEW));
    expect(await open(before, PLACE, `${NEW},${OLD}`)).toEqual({ tag: "opened", text: TOKEN });
    expect(await open(after, PLACE, NEW)).toEqual({ tag: "opened", text: TOKEN });
  });

  it("says which key is missing when it is no longer listed", async () => {
    const sealed = await seal(TOKEN, PLACE, OLD);
    expect(await open(sealed, PLACE, NEW)).toEqual({ tag: "key_missing", keyId: idOf(OLD) });
  });

  it("does not open with another key of the same id, nor with the id of another key", async () => {
    const sealed = await seal(TOKEN, PLACE, NEW);
    const [, bytesOfOld] = OLD.split(":");
    expect(await open(sealed, PLACE, `${idOf(NEW)}:${bytesOfOld}`)).toEqual({ tag: "not_authentic" });
    const renamed = sealed.replace(idOf(NEW) ?? "", idOf(OLD) ?? "");
    expect(await open(renamed, PLACE, `${NEW},${OLD}`)).toEqual({ tag: "not_authentic" });
  });

  it("are not those of the checksums, and are kept from being read", async () => {
    const [mac] = await checksumKeys(NEW);
    if (mac === undefined) throw new Error("There is a key");
    expect(mac.extractable).toBe(false);
    expect(mac.algorithm.name).toBe("HMAC");
  });
});

describe("what cannot be sealed", () => {
  it("is a text that is not Unicode, for it would open as another one", async () => {
    await expect(seal("\ud800", PLACE, NEW)).rejects.toThrow("must be Unicode text");
  });

  it.each([{ account: "a|7" }, { field: "a|b" }])("is one for a place with the separator in it: %o", async (part) => {
    await expect(seal(TOKEN, { ...PLACE, ...part }, NEW)).rejects.toThrow("must not contain |");
  });

  it("is anything, when the keys are none", async () => {
    await expect(seal(TOKEN, PLACE, "nothing")).rejects.toThrow("SECRETS_KEYS");
  });
});
