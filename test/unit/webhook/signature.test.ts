import fc from "fast-check";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { makeSecret, signedHeaders } from "../../../src/webhook/signature";

const NOW = Date.parse("2026-11-03T20:26:10.999Z");
const ID = "evt_1";
const BODY = '{"type":"payment.confirmed"}';

// The oracle takes no message that is five minutes old by its clock.
beforeAll(() => void vi.useFakeTimers({ toFake: ["Date"] }));
beforeEach(() => void vi.setSystemTime(NOW));
afterAll(() => void vi.useRealTimers());

const verify = (secret: string, body: string, headers: Record<string, string>) =>
  new Webhook(secret).verify(body, headers);

const aSecret = fc
  .uint8Array({ minLength: 24, maxLength: 64 })
  .map((bytes) => `whsec_${Buffer.from(bytes).toString("base64")}`);
/** Also characters outside of the basic plane, and halves of them. */
const aText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("\ud83d", "é\0"),
);

describe("a new secret", () => {
  it("is 32 bytes in base64, as the oracle takes it", () => {
    for (let count = 0; count < 100; count++) {
      const secret = makeSecret();
      expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      expect(Buffer.from(secret.slice("whsec_".length), "base64")).toHaveLength(32);
      expect(() => new Webhook(secret)).not.toThrow();
    }
  });

  it("is like no other, in any of its bits", () => {
    const made = Array.from({ length: 200 }, makeSecret);
    expect(new Set(made).size).toBe(made.length);
    const bytes = made.map((secret) => Buffer.from(secret.slice("whsec_".length), "base64"));
    for (let place = 0; place < 32; place++) {
      const ever = bytes.reduce((all, one) => all | (one[place] ?? 0), 0);
      const always = bytes.reduce((all, one) => all & (one[place] ?? 0), 0xff);
      expect([ever, always]).toEqual([0xff, 0]);
    }
  });
});

describe("the headers of a message", () => {
  it("are those that the reference libraries of the specification are tested with", async () => {
    // The specification itself shows a signature without its secret.
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const [id, at, body] = ["msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, '{"test": 2432232314}'];
    const headers = await signedHeaders([secret], id, at, body);
    expect(headers).toEqual({
      "webhook-id": id,
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
    expect(headers["webhook-signature"]).toBe(new Webhook(secret).sign(id, new Date(at), body));
    vi.setSystemTime(at);
    expect(verify(secret, body, headers)).toEqual({ test: 2_432_232_314 });
  });

  it("verify, whatever is sent and whenever", async () => {
    const when = fc.integer({ min: 0, max: 4_102_444_800_000 });
    await fc.assert(
      fc.asyncProperty(aSecret, fc.uuid(), when, fc.jsonValue(), aText, async (secret, id, now, data, text) => {
        const body = JSON.stringify({ data, text });
        vi.setSystemTime(now);
        expect(verify(secret, body, await signedHeaders([secret], id, now, body))).toEqual(JSON.parse(body));
      }),
      { numRuns: 500 },
    );
  });

  it("sign the very text, in UTF-8", async () => {
    await fc.assert(
      fc.asyncProperty(aSecret, aText, async (secret, body) => {
        const headers = await signedHeaders([secret], ID, NOW, body);
        expect(headers["webhook-signature"]).toBe(new Webhook(secret).sign(ID, new Date(NOW), body));
      }),
      { numRuns: 500 },
    );
  });

  it("verify with a secret as it is made", async () => {
    const secret = makeSecret();
    expect(verify(secret, BODY, await signedHeaders([secret], ID, NOW, BODY))).toEqual(JSON.parse(BODY));
  });

  it("say the second that has begun", async () => {
    const headers = await signedHeaders([makeSecret()], ID, 1_999, BODY);
    expect(headers["webhook-timestamp"]).toBe("1");
  });

  it("verify with either secret while one takes the other's place", async () => {
    const [older, newer, other] = [makeSecret(), makeSecret(), makeSecret()];
    const headers = await signedHeaders([newer, older], ID, NOW, BODY);
    expect(headers["webhook-signature"]).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/);
    for (const secret of [older, newer]) expect(verify(secret, BODY, headers)).toEqual(JSON.parse(BODY));
    expect(() => verify(other, BODY, headers)).toThrow(WebhookVerificationError);
  });
});

describe("the signature is of no other", () => {
  const secret = makeSecret();
  const mismatch = "No matching signature found";

  it("body", async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), fc.json(), async (body, other) => {
        fc.pre(body !== other);
        const headers = await signedHeaders([secret], ID, NOW, body);
        expect(() => verify(secret, other, headers)).toThrow(mismatch);
      }),
    );
    const headers = await signedHeaders([secret], ID, NOW, BODY);
    expect(() => verify(secret, `${BODY} `, headers)).toThrow(mismatch);
  });

  it.each([
    ["id", { "webhook-id": "evt_2" }],
    ["time, by a second earlier", { "webhook-timestamp": String(Math.floor(NOW / 1000) - 1) }],
    ["time, by a second later", { "webhook-timestamp": String(Math.floor(NOW / 1000) + 1) }],
  ])("%s", async (_, changed) => {
    const headers = await signedHeaders([secret], ID, NOW, BODY);
    expect(verify(secret, BODY, headers)).toEqual(JSON.parse(BODY));
    expect(() => verify(secret, BODY, { ...headers, ...changed })).toThrow(mismatch);
  });

  it("secret", async () => {
    await fc.assert(
      fc.asyncProperty(aSecret, aSecret, async (one, other) => {
        fc.pre(one !== other);
        const headers = await signedHeaders([one], ID, NOW, BODY);
        expect(() => verify(other, BODY, headers)).toThrow(mismatch);
      }),
    );
  });
});
