import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { sandboxSecrets } from "../../../src/auth/secret-keys";
import { sandbox } from "../../../src/provider/sandbox";
import { SandboxObject } from "../../../src/sandbox/object";
import { aMerchant, SECOND } from "./merchant";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("an account at the sandbox, by its adapter", () => {
  it("makes a payment of which nothing has moved, and moves its money once", async () => {
    const { operation, perform, observe, effects } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_ok" });
    expect(await effects()).toEqual([]);
    expect(await observe(asked)).toMatchObject({ tag: "answered", snapshot: { status: "open", capturedMinor: 0 } });
    for (const time of ["first", "again"]) {
      expect(await perform(asked), time).toMatchObject({
        tag: "answered",
        snapshot: { reference: asked.payment.reference, status: "captured", capturedMinor: 10_000, currency: "EUR" },
      });
    }
    expect(await effects()).toEqual([{ kind: "captured", amount: 10_000, nonce: asked.nonce }]);
  });

  it("authorises, captures in part and refunds in parts, up to what is left", async () => {
    const { operation, perform, next, effects } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_ok" }, { captureMethod: "manual" });
    expect(await perform(asked)).toMatchObject({ snapshot: { status: "authorized", capturedMinor: 0 } });
    expect(await perform(next(asked, "capture", 10_001))).toMatchObject({ tag: "refused" });
    const capture = next(asked, "capture", 7_000);
    expect(await perform(capture)).toMatchObject({
      snapshot: { status: "captured", capturedMinor: 7_000, captures: [{ nonce: capture.nonce, state: "succeeded" }] },
    });
    const refunds = [next(asked, "refund", 3_000), next(asked, "refund", 4_000)];
    for (const refund of refunds) expect(await perform(refund)).toMatchObject({ tag: "answered" });
    expect(await perform(next(asked, "refund", 1))).toMatchObject({
      tag: "refused",
      failure: { code: "provider_error", decline_code: "amount_too_large" },
    });
    expect((await effects()).map(({ kind, amount }) => [kind, amount])).toEqual([
      ["authorized", 10_000],
      ["captured", 7_000],
      ["released", 3_000],
      ["refunded", 3_000],
      ["refunded", 4_000],
    ]);
  });

  it("loses an answer as a network does; the same key has it", async () => {
    const { operation, perform, connection, effects } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_lost_answer" });
    expect(await perform(asked)).toMatchObject({ tag: "unknown" });
    expect(await perform(asked)).toMatchObject({ tag: "answered", snapshot: { status: "captured" } });
    expect(await effects()).toHaveLength(1);
    const other = await operation({ paymentMethod: "test_lost_request" });
    const path = `https://sandbox.invalid/v1/payments/${other.payment.reference}/confirm`;
    const body = JSON.stringify({ payment_method: "test_lost_request" });
    const lost = connection.fetch(new Request(path, { method: "POST", headers: { "Idempotency-Key": "k" }, body }));
    await expect(lost).rejects.toThrow("Network connection lost.");
  });

  it("holds an answer back for longer than anybody waits, by its own clock", async () => {
    const { operation, perform, account, effects } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_timeout" });
    const slow = perform(asked);
    await vi.waitFor(async () => expect(await effects()).toHaveLength(1));
    expect(await perform(asked)).toMatchObject({ tag: "busy" });
    await account.advance(15 * SECOND);
    expect(await slow).toMatchObject({ tag: "answered", snapshot: { status: "captured" } });
    expect(await perform(asked)).toMatchObject({ tag: "answered" });
    expect(await effects()).toHaveLength(1);
  });

  it("gives no merchant what another one has", async () => {
    const [mine, other] = [await aMerchant(), await aMerchant()];
    const asked = await mine.operation({ paymentMethod: "test_ok" });
    expect(await other.observe(asked)).toEqual({ tag: "not_found" });
    expect(await other.perform(asked)).toMatchObject({ tag: "refused" });
  });
});

describe("what happens by itself", () => {
  it("happens by the object's alarm", async () => {
    vi.setSystemTime(Date.now() + 3_600 * SECOND);
    const { operation, perform, observe, account } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_notified_never" });
    expect(await perform(asked)).toMatchObject({ snapshot: { status: "processing" } });
    vi.setSystemTime(Date.now() + 3 * SECOND);
    expect(await runDurableObjectAlarm(account)).toBe(true);
    expect(await observe(asked)).toMatchObject({ snapshot: { status: "captured" } });
    expect(await runDurableObjectAlarm(account)).toBe(false);
  });

  it("happens when a test moves the account's clock, one thing after the other", async () => {
    const { operation, perform, observe, account, effects } = await aMerchant();
    const asked = await operation({ paymentMethod: "test_dispute_lost" });
    await perform(asked);
    await account.advance(24 * 3_600 * SECOND);
    expect(await observe(asked)).toMatchObject({ snapshot: { disputes: [{ state: "lost", amountMinor: 10_000 }] } });
    expect((await effects()).map(({ kind }) => kind)).toEqual(["captured", "dispute_lost"]);
  });

  it("is tried again after something went wrong", async () => {
    const complained = vi.spyOn(console, "error").mockImplementation(() => {});
    const { operation, account } = await aMerchant();
    await operation({ paymentMethod: "test_ok" });
    await runInDurableObject(account, async (object, state) => {
      state.storage.sql.exec("INSERT INTO tasks (due_at, payment, data) VALUES (0, '', 'no JSON')");
      await object.alarm();
      const next = await state.storage.getAlarm();
      expect(Number(next) - Date.now()).toBeGreaterThan(29 * SECOND);
      state.storage.sql.exec("DELETE FROM tasks");
    });
    expect(String(complained.mock.calls)).toContain('"message":"sandbox broke off"');
  });
});

describe("notifications", () => {
  /** An account whose notifications come here. */
  async function listening(token: string, answers: number[] = []) {
    const merchant = await aMerchant();
    const asked = await merchant.operation({ paymentMethod: token });
    const received: { url: string; headers: Headers; body: string }[] = [];
    const exports = {
      default: {
        fetch: async (request: Request) => {
          received.push({ url: request.url, headers: request.headers, body: await request.text() });
          return new Response(null, { status: answers.shift() ?? 204 });
        },
      },
    };
    await runInDurableObject(merchant.account, async (_, state) => {
      await state.storage.deleteAlarm();
      const heard = new SandboxObject(
        Object.assign(Object.create(state), { exports, id: state.id, storage: state.storage }),
        env,
      );
      const path = `https://sandbox.invalid/v1/payments/${asked.payment.reference}/confirm`;
      const body = JSON.stringify({ payment_method: token });
      await heard.fetch(new Request(path, { method: "POST", headers: { "Idempotency-Key": "k" }, body }));
      await state.storage.deleteAlarm();
      await heard.advance(4 * SECOND);
      await heard.advance(10 * SECOND);
      await state.storage.deleteAlarm();
    });
    const read = (index: number, now = Date.now()) => {
      const { headers, body } = received[index] ?? { headers: new Headers(), body: "" };
      return sandbox.readNotification(merchant.connection, {
        url: "https://pay.example/notifications",
        headers,
        body,
        now,
      });
    };
    return { merchant, asked, received, read };
  }

  it("are signed so that the adapter knows them, and go to the account's path", async () => {
    const { merchant, asked, received, read } = await listening("test_ok");
    expect(received.map(({ url }) => new URL(url).pathname)).toEqual([
      `/api/v1/provider-notifications/sandbox_${merchant.merchantId}`,
    ]);
    const { id } = JSON.parse(received[0]?.body ?? "");
    const { id: paymentId } = asked.payment;
    expect(await read(0)).toEqual({ tag: "notified", id, reference: asked.payment.reference, paymentId });
    // Five minutes is what a clock may be off.
    expect(await read(0, Date.now() + 301 * SECOND)).toEqual({ tag: "unsigned" });
    // Another account's secret is another one.
    const other = await aMerchant();
    const { headers, body } = received[0] ?? { headers: new Headers(), body: "" };
    const request = { url: "https://pay.example/notifications", headers, body, now: Date.now() };
    expect(await sandbox.readNotification(other.connection, request)).toEqual({
      tag: "unsigned",
    });
  });

  it("come again under their id when they are not taken, and when the token says twice", async () => {
    const failing = await listening("test_ok", [500]);
    expect(failing.received.length).toBe(2);
    expect(failing.received[0]?.body).toBe(failing.received[1]?.body);
    const twice = await listening("test_notified_twice");
    expect(new Set(twice.received.map(({ body }) => JSON.parse(body).id)).size).toBe(2);
    expect(twice.received.length).toBe(4);
  });

  it("have a wrong signature where the token says so", async () => {
    const { received, read } = await listening("test_notified_bad_signature");
    expect(received.length).toBeGreaterThan(0);
    for (const index of received.keys()) expect(await read(index)).toEqual({ tag: "unsigned" });
  });

  it("reach the Worker itself, by its front door", async () => {
    const said = vi.spyOn(console, "log").mockImplementation(() => {});
    const { operation, perform, account } = await aMerchant();
    await perform(await operation({ paymentMethod: "test_ok" }));
    await account.advance(0);
    const lines = said.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toContainEqual(expect.objectContaining({ message: "request", method: "POST" }));
  });

  it("have a secret for each of the service's keys, so that these can be rotated", async () => {
    const { connection } = await aMerchant();
    const [newest = "", ...none] = await sandboxSecrets(env, connection.accountId);
    expect([newest.length, none]).toEqual([43, []]);
    const rotated = await sandboxSecrets(
      { AUTH_MODE: "required", SECRETS_KEYS: `2:${"B".repeat(43)},${env.SECRETS_KEYS}` },
      connection.accountId,
    );
    expect(rotated).toEqual([expect.not.stringMatching(newest), newest]);
  });
});
