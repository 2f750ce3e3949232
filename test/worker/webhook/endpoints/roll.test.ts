/** Rolling the secret of a webhook endpoint. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { sweepDeliveries } from "../../../../src/webhook/wake";
import { ENDPOINTS, SECOND } from "../shop";
import { expectSignedBy, get, made, ownMerchant, patch, roll, trailTypes } from "./own-merchant";

ownMerchant();

describe("roll", () => {
  it("makes a new secret beside which the old one signs, to the end of the overlap and no longer", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { id, secret, shown, receiver } = await made();
    await expectSignedBy([secret], id, receiver);
    vi.setSystemTime(now + SECOND);
    const { status, headers, body } = await roll(id, 3600);
    expect(status).toBe(201);
    expect(headers.get("Location")).toBe(`${ENDPOINTS}/${id}`);
    const end = now + SECOND + 3600 * SECOND;
    const { secret: next = "", ...after } = body;
    expect(after).toEqual({
      ...shown,
      previous_secret_ends_at: new Date(end).toISOString(),
      updated_at: new Date(now + SECOND).toISOString(),
    });
    expect((await get(id)).body).toEqual(after);
    expect(next).not.toBe(secret);
    vi.setSystemTime(end - 1);
    await expectSignedBy([next, secret], id, receiver);
    expect((await get(id)).body.previous_secret_ends_at).toBe(new Date(end).toISOString());
    vi.setSystemTime(end);
    await expectSignedBy([next], id, receiver);
    expect((await get(id)).body.previous_secret_ends_at).toBeNull();
  });

  it("without an overlap ends the old secret at once", async () => {
    const { id, receiver } = await made();
    const { body } = await roll(id, 0);
    expect(body.previous_secret_ends_at).toBeNull();
    await expectSignedBy([body.secret ?? ""], id, receiver);
  });

  it("twice leaves the two newest secrets, whatever time the oldest had", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { id, receiver } = await made();
    const { secret: second = "" } = (await roll(id, 7200)).body;
    vi.setSystemTime(now + SECOND);
    const { secret: third = "", previous_secret_ends_at } = (await roll(id, 60)).body;
    expect(previous_secret_ends_at).toBe(new Date(now + 61 * SECOND).toISOString());
    await expectSignedBy([third, second], id, receiver);
    vi.setSystemTime(now + 61 * SECOND);
    await expectSignedBy([third], id, receiver);
  });

  it("takes place of an endpoint that is disabled, too", async () => {
    const { id, receiver } = await made();
    await patch(id, { enabled: false });
    const { status, body } = await roll(id, 0);
    expect([status, body.enabled]).toEqual([201, false]);
    await expectSignedBy([body.secret ?? ""], id, receiver);
  });

  it("has the sweep wipe the old secret when its time has ended, and not before", async () => {
    const { id, secret: old, receiver } = await made();
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const { body } = await roll(id, 60);
    const stored = async () => {
      const sql = "SELECT secret, previous_secret, previous_secret_ends_at FROM webhook_endpoints WHERE id = ?";
      return env.DB.prepare(sql).bind(id).first();
    };
    const [before, secret] = [await stored(), (await stored())?.secret];
    expect(before).toMatchObject({ previous_secret: expect.any(String), previous_secret_ends_at: now + 60 * SECOND });
    await expectSignedBy([body.secret ?? "", old], id, receiver);
    await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 60 * SECOND - 1);
    expect(await stored()).toEqual(before);
    const swept = await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 60 * SECOND);
    expect(swept.secrets_wiped).toBe(1);
    expect(await stored()).toEqual({ secret, previous_secret: null, previous_secret_ends_at: null });
    await expectSignedBy([body.secret ?? ""], id, receiver);
    // Without an overlap there is none to keep.
    const { body: next } = await roll(id, 0);
    expect(await stored()).toMatchObject({ previous_secret: null, previous_secret_ends_at: null });
    await expectSignedBy([next.secret ?? ""], id, receiver);
  });

  it("is replayed for its idempotency key: one new secret, which is not shown again", async () => {
    const { id, secret, receiver } = await made();
    const first = await roll(id, 60, "roll-once");
    const { secret: next = "", ...shown } = first.body;
    const again = await roll(id, 60, "roll-once");
    expect([again.status, again.replayed, again.body]).toEqual([200, true, shown]);
    expect(again.headers.get("Location")).toBe(first.headers.get("Location"));
    expect((await roll(id, 61, "roll-once")).status).toBe(409);
    const other = await made();
    expect((await roll(other.id, 60, "roll-once")).status).toBe(409);
    await expectSignedBy([next, secret], id, receiver);
    await expectSignedBy([other.secret], other.id, other.receiver);
    expect(await trailTypes()).toEqual(["created", "rolled", "created"]);
  });
});
