import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ACTIONS, type Action, statusAfter, statusesBefore } from "../../../src/payment/lifecycle";
import { type Answer, type Client, client, ORDER, paymentIn } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { PAYMENTS } from "../payment-list";

const api = client();

const read = (id: number, condition?: string, method = "GET") =>
  api.request(method, `${PAYMENTS}/${id}`, {
    headers: condition === undefined ? {} : { "If-None-Match": condition },
  });

const run = (id: number, action: Action, condition: string, key?: string, by: Client = api) =>
  by.request("POST", `${PAYMENTS}/${id}/${action}`, {
    headers: { "If-Match": condition, ...(key !== undefined && { "Idempotency-Key": key }) },
  });

const etagOf = ({ headers }: Answer): string => headers.get("ETag") ?? "none";

/** A payment in a status that the action moves it out of, and its entity tag. */
async function readyFor(action: Action): Promise<{ id: number; etag: string }> {
  const [status = "pending"] = statusesBefore(action);
  const { id } = await paymentIn(status);
  return { id, etag: etagOf(await read(id)) };
}

describe("the entity tag", () => {
  it("is strong, and changes with each change and only then", async () => {
    const key = crypto.randomUUID();
    const created = await api.create(ORDER, key);
    const { id } = created.body;
    const tags = [etagOf(created)];
    expect(tags[0]).toMatch(/^"[\x21\x23-\x7e]+"$/);
    for (const action of ["confirm", "refund"] as const) {
      const changed = await api.run(id, action);
      expect(tags).not.toContain(etagOf(changed));
      tags.push(etagOf(changed));
      // What does not change the payment does not change its tag.
      expect(etagOf(await read(id))).toBe(etagOf(changed));
      expect(etagOf(await api.create(ORDER, key))).toBe(etagOf(changed));
      await api.run(id, "fail");
      if (action === "confirm") expect(etagOf(await api.run(id, "confirm"))).toBe(etagOf(changed));
      expect(etagOf(await read(id))).toBe(etagOf(changed));
    }
    expect(new Set(tags).size).toBe(3);
  });
});

describe("If-None-Match", () => {
  it.each([
    ["the tag", (etag: string) => etag],
    ["the tag as a weak one", (etag: string) => `W/${etag}`],
    ["a list with the tag", (etag: string) => `"x", ${etag} ,W/"y"`],
    ["a list with empty elements", (etag: string) => `, "x",, ${etag},`],
    ["*", () => "*"],
  ])("with %s is a 304 without a body, with the tag", async (_, condition) => {
    const { id } = await paymentIn("confirmed");
    const etag = etagOf(await read(id));
    const answer = await read(id, condition(etag));
    expect([answer.status, answer.body, etagOf(answer)]).toEqual([304, null, etag]);
    expect(answer.headers.get("Content-Type")).toBeNull();
    expect((await read(id, condition(etag), "HEAD")).status).toBe(304);
  });

  it.each([
    ["another tag", (_: string) => '"x"'],
    ["the tag in other quotes", (etag: string) => `"${etag.slice(1, -1)} "`.replace(" ", "0")],
    ["the tag of before", () => '"1"'],
  ])("with %s is the payment", async (_, condition) => {
    const payment = await paymentIn("confirmed");
    const etag = etagOf(await read(payment.id));
    const answer = await read(payment.id, condition(etag));
    expect([answer.status, answer.body, etagOf(answer)]).toEqual([200, payment, etag]);
  });

  it("is a 304 until the payment changes", async () => {
    const { id } = await paymentIn("pending");
    const etag = etagOf(await read(id));
    expect((await read(id, etag)).status).toBe(304);
    await api.run(id, "confirm");
    const changed = await read(id, etag);
    expect([changed.status, changed.body.status]).toEqual([200, "confirmed"]);
  });

  it("does not make a payment of none", async () => {
    expect((await read(9_999_999, "*")).status).toBe(404);
  });
});

describe.each(ACTIONS)("If-Match on %s", (action) => {
  it.each([
    ["the tag", (etag: string) => etag],
    ["a list with the tag", (etag: string) => `W/"x", "0", ${etag}`],
    ["the tag, weakened as a proxy that compresses does", (etag: string) => `W/${etag}`],
    ["*", () => "*"],
  ])("with %s succeeds", async (_, condition) => {
    const { id, etag } = await readyFor(action);
    const answer = await run(id, action, condition(etag));
    expect([answer.status, answer.body.status]).toEqual([200, statusAfter(action)]);
    expect(etagOf(answer)).not.toBe(etag);
  });

  it.each([
    ["another tag", (_: string) => '"99"'],
    ["another tag as a weak one", (_: string) => 'W/"99"'],
    ["what is no tag of ours", () => '"x", "", "01", "1.0", "1e0", "-1"'],
    ["a tag beyond all integers", () => `"${"9".repeat(400)}"`],
  ])("with %s is a 412 that says what the tag is, changes nothing and leaves the key free", async (_, condition) => {
    const { id, etag } = await readyFor(action);
    const [before, key] = [await read(id), crypto.randomUUID()];
    const meter = meterD1(env.DB);
    const refused = await run(id, action, condition(etag), key, client(envWithD1(meter.db)));
    expect(refused.status).toBe(412);
    expect(refused.body).toMatchObject({
      type: "/problems/precondition-failed",
      detail: `If-Match does not name the payment's version: its ETag is ${etag}`,
    });
    expect(etagOf(refused)).toBe(etag);
    expect([meter.trips, meter.rowsWritten]).toEqual([1, 0]);
    expect((await read(id)).body).toEqual(before.body);
    // The key was not used up: with the right tag, and for another payment too.
    const again = await run(id, action, etag, key);
    expect([again.status, again.replayed]).toEqual([200, false]);
  });

  it("leaves a retry with its key alone, however stale", async () => {
    const { id, etag } = await readyFor(action);
    const key = crypto.randomUUID();
    const first = await run(id, action, etag, key);
    const retry = await run(id, action, etag, key);
    expect([retry.status, retry.replayed, retry.body]).toEqual([200, true, first.body]);
    expect(etagOf(retry)).toBe(etagOf(first));
  });

  it("does not hide that a key is reused, a payment unknown or a header malformed", async () => {
    const { id, etag } = await readyFor(action);
    const key = crypto.randomUUID();
    await api.create(ORDER, key);
    expect((await run(id, action, '"99"', key)).status).toBe(409);
    expect((await run(9_999_999, action, etag)).status).toBe(404);
    expect((await run(9_999_999, action, "*")).status).toBe(404);
    expect((await run(id, action, '"99"', "two words")).status).toBe(400);
  });

  it("tells a refusal by status from one by version", async () => {
    const { id } = await paymentIn("failed");
    const etag = etagOf(await read(id));
    expect((await run(id, action, etag)).status).toBe(409);
    expect((await run(id, action, '"1"')).status).toBe(412);
  });

  it("lets exactly one of fifty concurrent requests through", async () => {
    const { id, etag } = await readyFor(action);
    const answers = await Promise.all(Array.from({ length: 50 }, () => run(id, action, etag, crypto.randomUUID())));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 49 }, () => 412)]);
    const keys = await env.DB.prepare("SELECT count(*) AS n FROM idempotency_keys WHERE payment_id = ? AND key <> ''")
      .bind(id)
      .first<{ n: number }>();
    // The key that created it, and that of the one success.
    expect(keys?.n).toBe(2);
  });
});

describe("If-Match", () => {
  it("lets one of concurrent confirms and fails through", async () => {
    const { id, etag } = await readyFor("confirm");
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => run(id, n % 2 === 0 ? "confirm" : "fail", etag)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(49);
  });

  it("refuses even a confirmation that would change nothing, and does not record its key", async () => {
    const { id } = await paymentIn("confirmed");
    const [etag, key] = [etagOf(await read(id)), crypto.randomUUID()];
    expect((await run(id, "confirm", '"1"', key)).status).toBe(412);
    const other = await paymentIn("pending");
    expect((await api.run(other.id, "confirm", key)).status).toBe(200);
    // With the right tag it succeeds, changes nothing, and is a success with a key of its own.
    const repeated = crypto.randomUUID();
    const answer = await run(id, "confirm", etag, repeated);
    expect([answer.status, answer.replayed, etagOf(answer)]).toEqual([200, false, etag]);
    expect(await run(id, "confirm", '"1"', repeated)).toMatchObject({ status: 200, replayed: true });
  });
});

const MALFORMED = ["1", '"1', '1"', "'1'", '"1" "2"', '"1";', 'w/"1"', 'W/ "1"', "*, *", '*, "1"', ",", '"a b"'];

describe("a malformed condition", () => {
  it.each(MALFORMED)("%j is a 422 that names the header", async (value) => {
    const { id } = await paymentIn("pending");
    const detail = 'Must be * or a list of entity tags, such as "1"';
    const got = await read(id, value);
    expect([got.status, got.body.errors]).toEqual([422, [{ detail, header: "If-None-Match" }]]);
    const acted = await run(id, "confirm", value);
    expect([acted.status, acted.body.errors]).toEqual([422, [{ detail, header: "If-Match" }]]);
    expect((await read(id)).body.status).toBe("pending");
  });

  it("that is empty is one too", async () => {
    const { id } = await paymentIn("pending");
    // Asked without the way there, on which the runtime leaves empty headers out.
    const { status, body } = await run(id, "confirm", "", undefined, client(env));
    expect([status, body.errors?.[0]?.header]).toEqual([422, "If-Match"]);
  });
});
