import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { ORDER } from "../client";
import { answers, drops, hangs, Receiver, type Reply, timesOut } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  attempted,
  eventText,
  HOUR,
  MINUTE,
  run,
  SECOND,
  stopClock,
  until,
  watch,
} from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const output = watch();

describe("an event", () => {
  it("arrives by itself, signed, in the words of the API, one after the other", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver } = endpoint;
    const { body } = await shop.api.create({ ...ORDER, metadata: { cart: "c–7 🛒" } });
    await shop.api.run(body.id, "confirm", crypto.randomUUID());
    await shop.api.run(body.id, "refund");
    const ids = [1, 2, 3].map((sequence) => `evt_${body.id}_${sequence}`);
    await until(() => receiver.ids).toEqual(ids);
    for (const { id, method, headers, body: text, signedBy, redirect } of receiver.received) {
      expect(text).toBe(await eventText(shop, id));
      expect([method, redirect, signedBy]).toEqual(["POST", "manual", [endpoint.secret]]);
      expect(Object.fromEntries(headers)).toEqual({
        "content-type": "application/json",
        "user-agent": "payment-service-webhooks",
        "webhook-id": id,
        "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
        "webhook-signature": expect.stringMatching(/^v1,[\w+/]{43}=$/),
      });
      expect(Math.abs(Number(headers.get("webhook-timestamp")) * SECOND - Date.now())).toBeLessThan(MINUTE);
    }
    await until(() => endpoint.statuses()).toEqual(["succeeded", "succeeded", "succeeded"]);
    expect(receiver.ids).toEqual(ids);
  });

  it("of a refund shows the refund beside the payment: a part of it, and what completes it", async () => {
    const shop = await aShop();
    const { receiver, secret } = await anEndpoint(shop, ["refund.succeeded", "payment.refunded"]);
    const { id } = (await shop.api.create(ORDER)).body;
    await shop.api.run(id, "confirm");
    const body = { amount: 40, reason: "One of two books came back", metadata: { return: "r–12 🛒" } };
    const headers = { "Idempotency-Key": "refund-42-1" };
    const refund = await shop.api.request("POST", `/api/v1/payments/${id}/refunds`, { body, headers });
    await shop.api.run(id, "refund");
    await until(() => receiver.ids).toEqual([`evt_${id}_3`, `evt_${id}_4`]);
    for (const { id, body: text, signedBy } of receiver.received) {
      expect([text, signedBy]).toEqual([await eventText(shop, id), [secret]]);
    }
    const [part, rest] = receiver.received.map(({ body }) => JSON.parse(body));
    expect([part.type, part.data.status, part.refund]).toEqual(["refund.succeeded", "confirmed", refund.body]);
    expect([rest.type, rest.data.status, rest.refund.amount, rest.refund.reason]).toEqual([
      "payment.refunded",
      "refunded",
      59.99,
      null,
    ]);
  });

  it("comes to every endpoint of its merchant that wants its type, signed for each, and to no other", async () => {
    const [shop, other] = [await aShop(), await aShop()];
    const [all, some, theirs] = [
      await anEndpoint(shop),
      await anEndpoint(shop, ["payment.failed", "payment.refunded"]),
      await anEndpoint(other),
    ];
    const [one, two] = [(await shop.api.create(ORDER)).body.id, (await shop.api.create(ORDER)).body.id];
    for (const action of ["confirm", "refund"] as const) await shop.api.run(one, action);
    await shop.api.run(two, "fail");
    await until(() => all.statuses()).toEqual(new Array(5).fill("succeeded"));
    await until(() => some.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(new Set(some.receiver.ids)).toEqual(new Set([`evt_${one}_3`, `evt_${two}_2`]));
    expect(all.receiver.ids.toSorted()).toEqual(
      [`evt_${one}_1`, `evt_${one}_2`, `evt_${one}_3`, `evt_${two}_1`, `evt_${two}_2`].toSorted(),
    );
    expect(await theirs.deliveries()).toEqual([]);
  });

  it("leaves a line in the log for each attempt", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const id = await aPayment(shop);
    output.logged.mockClear();
    await run(endpoint);
    expect(output.logged.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      {
        message: "delivery",
        endpoint_id: endpoint.id,
        merchant_id: shop.id,
        event_id: `evt_${id}_1`,
        attempt: 1,
        status: 204,
        duration_ms: 0,
        state: "succeeded",
      },
    ]);
  });
});

/** A body of these chunks; what comes after them is up to `pull`. */
function bodyOf(chunks: readonly string[], rest: UnderlyingSource["pull"], cancel = () => {}): ReadableStream {
  const left = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return new ReadableStream({
    pull: (controller) => {
      const chunk = left.shift();
      return chunk ? controller.enqueue(chunk) : rest?.(controller);
    },
    cancel,
  });
}

describe("an attempt", () => {
  it("has succeeded with any 2xx, and with nothing else", async () => {
    const statuses = [200, 201, 202, 204, 206, 299, 300, 301, 304, 400, 401, 404, 409, 422, 429, 500, 503, 599];
    const made = await attempted(...statuses.map((status) => answers(status)));
    expect(made.map(({ status, attempt }) => [attempt?.http_status, status])).toEqual(
      statuses.map((status) => [status, status < 300 ? "succeeded" : "pending"]),
    );
  });

  it("that is sent elsewhere goes nowhere, and has failed", async () => {
    const elsewhere = new Receiver();
    const statuses = [301, 302, 303, 307, 308];
    const made = await attempted(...statuses.map((status) => answers(status, "moved", { Location: elsewhere.url })));
    expect(made.map(({ status, attempt }) => [status, attempt?.http_status, attempt?.answer])).toEqual(
      statuses.map((status) => ["pending", status, "moved"]),
    );
    expect(elsewhere.received).toEqual([]);
  });

  it("has succeeded whatever the answer says, and keeps the first 512 bytes of it without control characters", async () => {
    const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, n) => 32 + n));
    const allBytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const bodies: [body: BodyInit | null, kept: string][] = [
      [null, ""],
      ['{"a":', '{"a":'],
      ['"\\ud800\\', '"\\ud800\\'],
      ["a\0b\0", "a\ufffdb\ufffd"],
      ["a\r\n\tb\u001b[31m\u007f\u0085", "a   b\ufffd[31m\ufffd\ufffd"],
      ["\u202egnp.exe", "\ufffdgnp.exe"],
      [
        allBytes,
        // 9 + 2 + 18 replacements and 2 + 1 + 95 other characters are 185 bytes; 109 more of three bytes each fit.
        `${"\ufffd".repeat(9)}  ${"\ufffd".repeat(2)} ${"\ufffd".repeat(18)}${printable}${"\ufffd".repeat(109)}`,
      ],
      [`${"x".repeat(512)}y`, "x".repeat(512)],
      ["🛒".repeat(200), "🛒".repeat(128)],
      // The end is within a character.
      [`a${"é".repeat(500)}`, `a${"é".repeat(255)}`],
      // What stands for a control character has three bytes: 512 of them are 1,536, of which 170 fit.
      ["\0".repeat(512), "\ufffd".repeat(170)],
      [`${"x".repeat(509)}\0\0`, `${"x".repeat(509)}\ufffd`],
      [`${"x".repeat(510)}\0`, "x".repeat(510)],
    ];
    const made = await attempted(...bodies.map(([body]) => answers(200, body, { "Content-Type": "application/json" })));
    expect(made.map(({ status, attempt }) => [status, attempt?.answer])).toEqual(
      bodies.map(([, kept]) => ["succeeded", kept]),
    );
    const sizes = made.map(({ attempt }) => new TextEncoder().encode(attempt?.answer ?? "").byteLength);
    expect(Math.max(...sizes)).toBe(512);
  });

  it("reads no more of an answer than it keeps, and goes by the status when that breaks off", async () => {
    let cancelled = false;
    const endless = bodyOf(
      [],
      (controller) => controller.enqueue(new Uint8Array(1_000).fill(0x78)),
      () => {
        cancelled = true;
      },
    );
    const broken = bodyOf(["so f", "ar"], (controller) => controller.error(new Error("Network connection lost.")));
    const made = await attempted(answers(200, endless), answers(202, broken), answers(500, "no"));
    expect(made.map(({ status, attempt }) => [status, attempt?.http_status, attempt?.answer])).toEqual([
      ["succeeded", 200, "x".repeat(512)],
      ["succeeded", 202, "so far"],
      ["pending", 500, "no"],
    ]);
    expect(cancelled).toBe(true);
  });

  it("that is dropped or takes too long is recorded with that, and tried again", async () => {
    const made = await attempted(drops, timesOut);
    const recorded = (error: string) => ({
      at: new Date().toISOString(),
      duration_ms: 0,
      http_status: null,
      error,
      answer: "",
    });
    expect(made.map(({ status, attempt_count: n, attempt }) => [status, n, attempt])).toEqual([
      ["pending", 1, recorded("No connection")],
      ["pending", 1, recorded("No connection")],
    ]);
  });

  it("waits 15 seconds, for the status and the body together", async () => {
    const waits: number[] = [];
    const timeIsUp = Promise.withResolvers<void>();
    vi.spyOn(AbortSignal, "timeout").mockImplementation((wait) => {
      waits.push(wait);
      const controller = new AbortController();
      timeIsUp.promise.then(() => controller.abort(new DOMException("The operation timed out", "TimeoutError")));
      return controller.signal;
    });
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await aPayment(shop);
    await aPayment(shop);
    const hangsInBody: Reply = ({ signal }) =>
      new Response(
        bodyOf(["begun"], (controller) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          signal?.addEventListener("abort", () => {
            controller.error(signal.reason);
            resolve();
          });
          return promise;
        }),
      );
    endpoint.receiver.next(hangs, hangsInBody);
    const running = run(endpoint);
    await until(() => endpoint.receiver.received).toHaveLength(2);
    timeIsUp.resolve();
    await running;
    // 15 s: five at once that hang keep a run's others waiting for no longer.
    expect(waits).toEqual([15_000, 15_000]);
    expect(
      (await endpoint.deliveries()).map(({ attempts: [only] }) => [only?.http_status, only?.error, only?.answer]),
    ).toEqual([
      [null, "No connection", ""],
      [200, null, "begun"],
    ]);
  });

  it("is signed with both secrets while one takes the other's place, and then with the new one", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { receiver, secret: old } = endpoint;
    const now = stopClock();
    const rolled = await shop.api.request<{ secret: string }>("POST", `${endpoint.path}/roll`, {
      body: { overlap_seconds: 3_600 },
    });
    receiver.secrets.push(rolled.body.secret);
    for (const time of [now, now + HOUR - 1, now + HOUR]) {
      vi.setSystemTime(time);
      await aPayment(shop);
      await run(endpoint);
    }
    const both = [old, rolled.body.secret];
    expect(receiver.received.map(({ signedBy }) => signedBy)).toEqual([both, both, both.slice(1)]);
    expect(receiver.received.map(({ headers }) => headers.get("webhook-signature")?.split(" ").length)).toEqual([
      2, 2, 1,
    ]);
  });

  it("to a URL that is not allowed any more is not made, and has failed", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await env.DB.prepare("UPDATE webhook_endpoints SET url = 'https://169.254.169.254/' WHERE id = ?")
      .bind(endpoint.id)
      .run();
    await aPayment(shop);
    vi.mocked(fetch).mockClear();
    await run(endpoint);
    expect(fetch).not.toHaveBeenCalled();
    const { status, attempts } = await endpoint.delivery();
    expect([status, attempts[0]?.error]).toEqual([
      "pending",
      "The URL is not allowed: Must name its host, not an address",
    ]);
  });
});
