/** The adapter of Stripe answers whatever it is answered: with what Stripe answers, a part of which is something else. */
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ProviderOperation } from "../../../../src/provider/seam";
import { stripe } from "../../../../src/provider/stripe/stripe";
import { account, captured, dispute, error, intent, operation, page, REFERENCE, refund } from "./stripe-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const declined = { code: "card_declined", decline_code: "fraudulent", payment_intent: intent({ status: "canceled" }) };
const ANSWERS: readonly object[] = [
  captured({ refunds: page([refund({ metadata: { nonce: "nonce-1" } })]), disputed: true }),
  intent({ status: "requires_action", next_action: { redirect_to_url: { url: "https://hooks.stripe.com/" } } }),
  intent({ status: "requires_payment_method", last_payment_error: declined }),
  refund({ payment_intent: captured({ refunds: page([refund()]) }) }),
  error(declined),
  page([captured(), captured()], true),
  page([refund({ payment_intent: captured() }), refund()], true),
  page([dispute({ payment_intent: captured() })]),
];

/** Every place within a value, by the names that lead there. */
function placesIn(value: unknown): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => [[name], ...placesIn(part).map((rest) => [name, ...rest])]);
}

function withPart(value: unknown, [name, ...rest]: readonly string[], part: unknown): unknown {
  if (name === undefined) return part;
  const whole = Array.isArray(value) ? [...value] : { ...Object(value) };
  return Object.assign(whole, { [name]: withPart(Object(value)[name], rest, part) });
}

const altered = fc
  .constantFrom(...ANSWERS)
  .chain((answer) => fc.tuple(fc.constant(answer), fc.constantFrom(...placesIn(answer)), fc.jsonValue()))
  .map(([answer, place, part]) => withPart(answer, place, part));
const status = fc.constantFrom(200, 400, 402, 404, 429, 500);

const OPERATIONS: readonly ProviderOperation[] = [
  ...[
    operation("authorize"),
    operation("authorize", {}),
    operation("capture"),
    operation("cancel"),
    operation("refund"),
  ],
];

it("an operation", () =>
  fc.assert(
    fc.asyncProperty(fc.constantFrom(...OPERATIONS), altered, status, altered, async (asked, body, code, next) => {
      const { connection } = account({ status: code, body }, { body: next });
      const performed = await stripe.perform(connection, asked);
      expect(performed.tag).toBeOneOf(["answered", "refused", "busy", "unknown"]);
      if (performed.tag === "answered") expect(performed.snapshot.reference).toBe(REFERENCE);
      const prepared = await stripe.prepare(connection, { ...asked, payment: { ...asked.payment, reference: null } });
      expect(prepared.tag).toBeOneOf(["prepared", "refused", "busy", "unknown"]);
    }),
    { numRuns: 500 },
  ));

it("a question", () =>
  fc.assert(
    fc.asyncProperty(altered, status, altered, fc.string({ unit: "binary" }), async (body, code, next, reference) => {
      const { connection } = account({ status: code, body }, { body: next });
      const { payment } = operation("refund");
      for (const name of [REFERENCE, reference]) {
        const { tag } = await stripe.observe(connection, { ...payment, reference: name });
        expect(tag).toBeOneOf(["answered", "not_found", "busy", "unknown"]);
        expect((await stripe.locate(connection, name)).tag).toBeOneOf(["located", "not_found", "busy", "unknown"]);
      }
      for (const listing of ["payments", "refunds", "disputes"] as const) {
        const listed = await stripe.list(connection, { listing, from: 0, to: 1, cursor: reference });
        expect(listed.tag).toBeOneOf(["listed", "busy", "unknown"]);
      }
      expect((await stripe.checkCredentials(connection)).tag).toBeOneOf(["accepted", "rejected", "busy", "unknown"]);
    }),
    { numRuns: 200 },
  ));

it("a name of a payment that is no Unicode text", async () => {
  const { connection, asked } = account({ status: 404, body: error() });
  expect(await stripe.locate(connection, "pi_\ud800")).toEqual({ tag: "not_found" });
  expect(asked[0]?.path).toBe("/v1/payment_intents/pi_%EF%BF%BD");
});
