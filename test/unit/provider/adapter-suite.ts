/**
 * What an adapter must pass, whoever the provider is. Its test says how the provider words its answers; the suite holds
 * what the service relies on: nothing but an answer that is surely about this payment says anything of the money.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FAILURE_CODES } from "../../../src/provider/failures";
import type {
  Adapter,
  Connection,
  NotificationRequest,
  OperationKind,
  ProviderOperation,
  ProviderStatus,
} from "../../../src/provider/seam";

export interface Answer {
  readonly status: number;
  /** Text as it is, anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Specimen {
  readonly adapter: Adapter;
  readonly secrets: Readonly<Record<string, string>>;
  /** The provider's name for the payment that its answers are about: 100.00 EUR, captured with its confirmation. */
  readonly reference: string;
  /** To a call that makes the payment without moving anything; null where the provider has none. */
  readonly prepared: Answer | null;
  /** A payment in each status, as an answer to a call and to a query. Where the payer moves the money, none is just open. */
  readonly payments: Readonly<Record<Exclude<ProviderStatus, "failed" | "open">, Answer>> & { readonly open?: Answer };
  /** The operations that nothing is sent for: the provider is asked what the payment is. */
  readonly asking?: readonly OperationKind[];
  /** What the payment is when an operation is sent that the adapter first looks for; left out, it is captured. */
  readonly before?: Readonly<Partial<Record<OperationKind, Answer>>>;
  /** To a call that the provider declines. */
  readonly declined: Answer;
  /** A status that the provider has made up since. */
  readonly unheardOf: Answer;
  /** A payment of which 40.00 were refunded under this nonce, or, for null, by somebody else. */
  readonly refunded: (nonce: string | null) => Answer;
  /** About another payment. */
  readonly foreign: Answer;
  readonly notFound: Answer;
  /** A call that was not taken, and may be repeated. */
  readonly busy: readonly Answer[];
  /** A call that was judged, and will never be done. */
  readonly refused: readonly Answer[];
  /** How an answer about the payment is worded to a request; left out, it is the same to all. */
  readonly wordedFor?: (request: Request, answer: Answer) => Answer;
  /** A notification about the payment, as the provider sends it. */
  readonly notification: (now: number) => Promise<NotificationRequest>;
  /** The same, altered in every way that its signature covers; left out, headers and body are. */
  readonly forgeries?: (genuine: NotificationRequest) => readonly NotificationRequest[];
}

const KINDS: readonly OperationKind[] = ["authorize", "capture", "cancel", "refund"];
const NOW = Date.UTC(2026, 10, 25);
const API_ORIGIN = "https://provider.example";

/** What says nothing of the money at any provider. */
const NO_ANSWERS: readonly Answer[] = [
  ...[500, 502, 503, 504].map((status) => ({ status, body: "" })),
  ...[500, 503].map((status) => ({ status, body: { error: "internal" } })),
  ...["", "<html>", null, [], {}, 5, "null", { id: 5 }].map((body) => ({ status: 200, body })),
];

const alteredBody = (reference: string) => (genuine: NotificationRequest) => [
  { ...genuine, headers: new Headers() },
  { ...genuine, body: `${genuine.body} ` },
  { ...genuine, body: genuine.body.replace(reference, `${reference}0`) },
  { ...genuine, body: "" },
  { ...genuine, headers: new Headers([...genuine.headers].map(([name, value]) => [name, `${value}0`])) },
];

export function describeAdapter(name: string, specimen: Specimen): void {
  const { adapter, secrets, reference, wordedFor = (_: Request, answer: Answer) => answer } = specimen;
  const { asking = [], before = {}, forgeries = alteredBody(reference) } = specimen;
  const sending = KINDS.filter((kind) => !asking.includes(kind));

  const operation = (kind: OperationKind, changes: Partial<ProviderOperation> = {}): ProviderOperation => ({
    ...{
      kind,
      amountMinor: kind === "authorize" ? 10_000 : 4_000,
      nonce: "nonce-1",
      request: { paymentMethod: "token" },
    },
    payment: {
      ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "automatic" },
      reference,
    },
    ...changes,
  });
  const { payment } = operation("authorize");

  function answering(answer: Answer) {
    const asked: { method: string; url: string; headers: object; body: string }[] = [];
    const connection: Connection = {
      ...{ accountId: "account", merchantId: 1, apiOrigin: API_ORIGIN, secrets },
      fetch: async (request) => {
        asked.push({
          ...request,
          method: request.method,
          url: request.url,
          headers: [...request.headers],
          body: await request.text(),
        });
        const { status, body, headers } = wordedFor(request, answer);
        return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
      },
    };
    return { connection, asked };
  }

  const failing = (fetch: Connection["fetch"]): Connection => ({
    ...{ accountId: "account", merchantId: 1, apiOrigin: API_ORIGIN, secrets },
    fetch,
  });
  const perform = (answer: Answer, kind: OperationKind = "authorize") =>
    adapter.perform(answering(answer).connection, operation(kind));

  describe(`the adapter of ${name}`, () => {
    beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
    afterEach(() => vi.unstubAllGlobals());

    it.each(Object.entries(specimen.payments))(
      "knows a payment that is %s, from a call and from a query",
      async (status, answer) => {
        const snapshot = {
          ...{ reference, status, amountMinor: 10_000, currency: "EUR" },
          ...{ capturedMinor: status === "captured" ? 10_000 : 0, refunds: [], disputes: [] },
        };
        expect(await perform(answer)).toMatchObject({ tag: "answered", snapshot });
        if (adapter.capabilities.query === "none") return;
        const observed = await adapter.observe(answering(answer).connection, payment);
        expect(observed).toMatchObject({ tag: "answered", snapshot });
        const leads = observed.tag === "answered" && observed.snapshot.nextAction !== null;
        expect(leads).toBe(status === "requires_action");
      },
    );

    it("takes a status that it has not heard of for no success, and for no failure", async () => {
      expect(await perform(specimen.unheardOf)).toMatchObject({ tag: "answered", snapshot: { status: "processing" } });
    });

    it("tells of a decline in a code of ours, with the provider's word", async () => {
      expect(await perform(specimen.declined)).toMatchObject({
        tag: "answered",
        snapshot: {
          ...{ status: "failed", capturedMinor: 0 },
          failure: {
            code: expect.toBeOneOf(FAILURE_CODES),
            decline_code: expect.any(String),
            message: expect.any(String),
          },
        },
      });
    });

    it.each(NO_ANSWERS)("learns nothing of the money from %j", async (answer) => {
      for (const kind of KINDS) expect(await perform(answer, kind), kind).toMatchObject({ tag: "unknown" });
      expect(await adapter.observe(answering(answer).connection, payment)).not.toMatchObject({ tag: "answered" });
      if (specimen.prepared === null) return;
      expect(await adapter.prepare(answering(answer).connection, operation("authorize"))).toMatchObject({
        tag: "unknown",
      });
    });

    it("learns nothing of it from an answer about another payment", async () => {
      expect(await perform(specimen.foreign)).toMatchObject({ tag: "unknown" });
      expect(await adapter.observe(answering(specimen.foreign).connection, payment)).toMatchObject({ tag: "unknown" });
    });

    it("learns nothing of it from a connection that ends, before the answer or within it", async () => {
      const broken = () => new Response(new ReadableStream({ pull: (stream) => stream.error(new Error("lost")) }));
      for (const connection of [failing(() => Promise.reject(new TypeError("lost"))), failing(async () => broken())]) {
        for (const kind of KINDS) {
          expect(await adapter.perform(connection, operation(kind))).toMatchObject({ tag: "unknown" });
        }
        expect(await adapter.observe(connection, payment)).toMatchObject({ tag: "unknown" });
      }
    });

    it("waits for no answer longer than 8 seconds", async () => {
      const waited: number[] = [];
      vi.stubGlobal("scheduler", { wait: async (milliseconds: number) => void waited.push(milliseconds) });
      const silent = failing(() => new Promise(() => {}));
      expect(await adapter.perform(silent, operation("refund"))).toMatchObject({ tag: "unknown" });
      expect(await adapter.observe(silent, payment)).toMatchObject({ tag: "unknown" });
      expect(waited).toEqual([8_000, 8_000]);
    });

    it("tells what was not taken from what was refused", async () => {
      for (const answer of specimen.busy) {
        for (const kind of KINDS) expect(await perform(answer, kind), kind).toMatchObject({ tag: "busy" });
      }
      for (const answer of specimen.refused) {
        const failure = { code: expect.toBeOneOf(FAILURE_CODES), message: expect.any(String) };
        for (const kind of sending)
          expect(await perform(answer, kind), kind).toMatchObject({ tag: "refused", failure });
      }
    });

    it("finds no payment where the provider has none", async () => {
      const observed = await adapter.observe(answering(specimen.notFound).connection, payment);
      expect(observed).toEqual({ tag: adapter.capabilities.query === "none" ? "unanswerable" : "not_found" });
    });

    it("names who asked for a refund by the operation's nonce, and nobody where it was somebody else", async () => {
      for (const nonce of ["nonce-1", null]) {
        const observed = await adapter.observe(answering(specimen.refunded(nonce)).connection, payment);
        expect(observed).toMatchObject({ snapshot: { refunds: [{ nonce, amountMinor: 4_000, state: "succeeded" }] } });
      }
    });

    it("sends an operation again in the very same words, and no two operations in the same", async () => {
      const sent = async (kind: OperationKind, nonce: string) => {
        const { connection, asked } = answering(before[kind] ?? specimen.payments.captured);
        expect(await adapter.perform(connection, operation(kind, { nonce }))).toMatchObject({ tag: "answered" });
        const money = asked.filter(({ method }) => method !== "GET");
        expect(money.length, "one call that moves money for each operation").toBe(asking.includes(kind) ? 0 : 1);
        return JSON.stringify(asked);
      };
      const calls = new Set<string>();
      for (const kind of sending) {
        for (const nonce of ["nonce-1", "nonce-2"]) {
          const call = await sent(kind, nonce);
          expect(await sent(kind, nonce)).toBe(call);
          expect(call).toContain(nonce);
          calls.add(call);
        }
      }
      expect(calls.size).toBe(2 * sending.length);
      for (const kind of asking) expect(await sent(kind, "nonce-1")).toBe(await sent(kind, "nonce-2"));
    });

    it("asks without changing anything", async () => {
      const { connection, asked } = answering(specimen.payments.captured);
      await adapter.observe(connection, payment);
      expect(asked.filter(({ method, body }) => method !== "GET" || body !== "")).toEqual([]);
    });

    const { prepared } = specimen;
    if (prepared !== null) {
      it("has the payment named before anything moves, and moves nothing without that", async () => {
        const unnamed = operation("authorize", { payment: { ...payment, reference: null } });
        const { connection } = answering(prepared);
        expect(await adapter.prepare(connection, unnamed)).toEqual({ tag: "prepared", reference });
        const money = answering(specimen.payments.captured);
        await expect(adapter.perform(money.connection, unnamed)).rejects.toThrow();
        expect(money.asked).toEqual([]);
      });
    }

    it("answers whatever it is answered, and calls nothing a success that is not about this payment", () =>
      fc.assert(
        fc.asyncProperty(fc.integer({ min: 200, max: 599 }), fc.jsonValue(), async (status, body) => {
          const answer = { status, body: [204, 205, 304].includes(status) ? "" : body };
          const connection = failing(
            async () => new Response(answer.body === "" ? null : JSON.stringify(body), { status }),
          );
          for (const kind of KINDS) {
            const { tag } = await adapter.perform(connection, operation(kind));
            expect(tag).toBeOneOf(["refused", "busy", "unknown"]);
          }
          expect((await adapter.observe(connection, payment)).tag).not.toBe("answered");
        }),
        { numRuns: 200 },
      ));

    it("knows a notification by its signature alone", async () => {
      const read = (request: NotificationRequest) =>
        adapter.readNotification(answering(specimen.notFound).connection, request);
      const genuine = await specimen.notification(NOW);
      expect(await read(genuine)).toMatchObject({ tag: "notified", reference });
      expect(await read(await specimen.notification(NOW))).toEqual(await read(genuine));
      for (const forged of forgeries(genuine)) {
        expect(await read(forged)).toEqual({ tag: "unsigned" });
      }
      const nobody = {
        accountId: "account",
        merchantId: 1,
        apiOrigin: API_ORIGIN,
        secrets: {},
        fetch: () => Promise.reject(new Error("not asked")),
      };
      expect(await adapter.readNotification(nobody, genuine)).toEqual({ tag: "unsigned" });
    });
  });
}
