/** The adapter of a provider that is made up: the suite is the sandbox's, and says what a new provider must pass. */
import { exchange } from "../../../src/provider/exchange";
import type { Adapter, Performed, ProviderOperation, ProviderStatus, Snapshot } from "../../../src/provider/seam";
import { signatureOf } from "../../../src/sandbox/notifications";
import { describeAdapter } from "./adapter-suite";

/**
 * Pigeon Pay, which is made up: amounts are decimal strings, a payment gets its name with the call that moves its money, is
 * asked for by our own id, and notifications carry a bare MAC.
 */
interface PigeonPayment {
  nr?: unknown;
  state?: string;
  total?: string;
  currency?: string;
  took?: string;
  go_to?: string;
  why?: string;
  returns?: { nr: string; sum: string; tag?: string }[];
}

const PIGEON_STATES: Readonly<Record<string, ProviderStatus>> = {
  ...{ NEW: "open", AT_PAYER: "requires_action", FLYING: "processing", HELD: "authorized", LANDED: "captured" },
  ...{ SHOT: "failed", RECALLED: "cancelled", LOST: "expired" },
};

const cents = (text: string) => (/^\d+\.\d\d$/.test(text) ? Number(text.replace(".", "")) : null);

function readPigeon(json: unknown, reference: string): Snapshot | null {
  const {
    nr,
    state = "",
    total = "",
    currency = "",
    took = "0.00",
    go_to,
    why,
    returns = [],
  }: PigeonPayment = Object(json);
  const [amountMinor, capturedMinor] = [cents(total), cents(took)];
  if (nr !== reference || amountMinor === null || capturedMinor === null) return null;
  const message = why ?? "It did not arrive";
  return {
    ...{ reference, amountMinor, currency, capturedMinor, captures: [], disputes: [] },
    status: PIGEON_STATES[state] ?? "processing",
    nextAction: go_to === undefined ? null : { type: "redirect", url: go_to },
    failure: state === "SHOT" ? { code: "card_declined", decline_code: why ?? null, message } : null,
    refunds: returns.map(({ nr: name, sum, tag = null }) => ({
      ...{ reference: name, nonce: tag, amountMinor: cents(sum) ?? 0, state: "succeeded", failure: null },
    })),
  };
}

async function pigeonMac(secret: string, body: string): Promise<string> {
  return (await signatureOf(secret, body, 0)).replace("t=0,v1=", "");
}

const pigeon: Adapter = {
  capabilities: {
    ...{ reference: "with_call", query: "by_own_id", keyWindowMs: 3_600_000, notification: "hint" },
    ...{ ownNotificationUrl: false, manualCapture: false, partialCapture: false, partialRefund: true },
  },
  prepare: async () => ({
    tag: "refused",
    failure: { code: "provider_error", decline_code: null, message: "It names none" },
  }),
  async perform(connection, { kind, payment, amountMinor, nonce }: ProviderOperation): Promise<Performed> {
    const body = JSON.stringify({ kind, ours: payment.id, sum: (amountMinor / 100).toFixed(2), tag: nonce });
    const answer = await exchange(connection, new Request("https://pigeon.example/fly", { method: "POST", body }));
    if (answer.tag !== "answer") return answer;
    const detail = `Pigeon Pay answered ${answer.status}`;
    if (answer.status === 429) return { tag: "busy", detail, retryAfterMs: null };
    if (answer.status >= 400 && answer.status < 500) {
      return { tag: "refused", failure: { code: "provider_error", decline_code: null, message: detail } };
    }
    const snapshot = answer.status === 200 ? readPigeon(answer.json, payment.reference ?? `P${payment.id}`) : null;
    return snapshot ? { tag: "answered", snapshot } : { tag: "unknown", detail };
  },
  async observe(connection, { id, reference }) {
    const answer = await exchange(connection, new Request(`https://pigeon.example/ours/${id}`));
    if (answer.tag !== "answer") return answer;
    if (answer.status === 404) return { tag: "not_found" };
    const snapshot = answer.status === 200 ? readPigeon(answer.json, reference ?? `P${id}`) : null;
    return snapshot
      ? { tag: "answered", snapshot }
      : { tag: "unknown", detail: `Pigeon Pay answered ${answer.status}` };
  },
  async readNotification({ secrets }, { headers, body }) {
    const { loft } = secrets;
    if (loft === undefined || headers.get("Pigeon-Mac") !== (await pigeonMac(loft, body))) return { tag: "unsigned" };
    return { tag: "notified", id: body, reference: body, paymentId: null };
  },
};

const ok = (body: object) => ({ status: 200, body });
const flying = (state: string, changes: PigeonPayment = {}) =>
  ok({ nr: "P5", state, total: "100.00", currency: "EUR", ...changes });

describeAdapter("a provider that is made up", {
  adapter: pigeon,
  secrets: { loft: "secret" },
  reference: "P5",
  prepared: null,
  payments: {
    ...{ open: flying("NEW"), requires_action: flying("AT_PAYER", { go_to: "https://pigeon.example/P5" }) },
    ...{ processing: flying("FLYING"), authorized: flying("HELD"), captured: flying("LANDED", { took: "100.00" }) },
    ...{ cancelled: flying("RECALLED"), expired: flying("LOST") },
  },
  declined: flying("SHOT", { why: "hawk" }),
  unheardOf: flying("NESTING"),
  refunded: (nonce) =>
    flying("LANDED", { took: "100.00", returns: [{ nr: "R1", sum: "40.00", ...(nonce !== null && { tag: nonce }) }] }),
  foreign: flying("LANDED", { nr: "P6", took: "100.00" }),
  notFound: { status: 404, body: "" },
  busy: [{ status: 429, body: "" }],
  refused: [{ status: 400, body: "" }],
  notification: async (now) => ({
    url: "https://pay.example/",
    headers: new Headers({ "Pigeon-Mac": await pigeonMac("secret", "P5") }),
    body: "P5",
    now,
  }),
});
