/**
 * What each of the sandbox's tokens comes to in a payment: its adapter's snapshots, reduced. In the end our amounts are the
 * provider's, or somebody is told to look.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { applyChange, type OperationView, type PaymentView } from "../../../src/operation/reducer/change";
import { reduce } from "../../../src/operation/reducer/reduce";
import { sandbox } from "../../../src/provider/sandbox";
import type { CaptureMethod, Connection, OperationKind, ProviderOperation, Snapshot } from "../../../src/provider/seam";
import { TOKENS, type Token } from "../../../src/sandbox/tokens";
import { anAccount, HOUR, MINUTE, SECOND } from "../sandbox/account";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

/** A payment of 100.00 that is asked for at the sandbox, in memory. */
function aPayment(token: Token, captureMethod: CaptureMethod) {
  const account = anAccount();
  const connection: Connection = {
    ...{ accountId: "sandbox_1", merchantId: 1, apiOrigin: "https://sandbox.invalid", secrets: {} },
    fetch: (request) => account.sandbox.fetch(request),
  };
  const events: string[] = [];
  let view: PaymentView = {
    ...{ status: "pending", amountMinor: 10_000, currency: "EUR", captureMethod, capturedMinor: 0, refundedMinor: 0 },
    ...{ failure: null, nextAction: null, providerReference: null, operations: [], disputes: [], items: [] },
  };

  function hear(snapshot: Snapshot): void {
    for (let change = reduce(view, snapshot); change !== null; change = reduce(view, snapshot)) {
      view = applyChange(view, change);
      if (change.event) events.push(change.event.type);
    }
  }

  function change(number: number, state: OperationView["state"]): void {
    const status = state === "unknown" && view.status === "pending" ? "processing" : view.status;
    const operations = view.operations.map((one) => (one.number === number ? { ...one, state } : one));
    view = { ...view, status, operations };
  }

  const sent = (kind: OperationKind, amountMinor: number, nonce: string): ProviderOperation => ({
    ...{ kind, amountMinor, nonce, request: { paymentMethod: token } },
    payment: {
      ...{ id: 1, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod },
      reference: view.providerReference,
    },
  });

  /** Asks for an operation once. */
  async function run(kind: OperationKind, amountMinor = 10_000): Promise<string> {
    const number = view.operations.length + 1;
    const nonce = `${kind}-${number}`;
    if (view.providerReference === null) {
      const prepared = await sandbox.prepare(connection, sent(kind, amountMinor, nonce));
      if (prepared.tag !== "prepared") throw new Error(prepared.tag);
      view = { ...view, providerReference: prepared.reference };
    }
    const operation: OperationView = {
      ...{ number, kind, amountMinor, state: "open", nonce, providerReference: null, failure: null, source: "request" },
    };
    view = { ...view, operations: [...view.operations, operation] };
    return send(operation);
  }

  async function send({ number, kind, amountMinor, nonce }: OperationView): Promise<string> {
    const slow = sandbox.perform(connection, sent(kind, amountMinor, nonce ?? ""));
    await new Promise(setImmediate);
    // Nobody waits for an answer that takes 15 seconds, and the sandbox's clock goes on.
    if (TOKENS[token].fault === "slow_answer") await account.advance(16 * SECOND);
    const performed = await slow;
    if (performed.tag === "answered") hear(performed.snapshot);
    else if (performed.tag === "refused") change(number, "failed");
    else change(number, "unknown");
    return performed.tag;
  }

  /** Asks until nothing is unsettled, by reference first, as the service does after 1 s, 5 s, 30 s, … */
  async function settle(): Promise<void> {
    for (const pause of [SECOND, 5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR]) {
      await ask(pause);
      const unheard = view.operations.find(({ state }) => state === "open" || state === "unknown");
      if (unheard) await send(unheard);
    }
    await ask(0);
  }

  /** Moves the sandbox's clock and asks once. */
  async function ask(afterMs: number): Promise<void> {
    await account.advance(afterMs);
    const observed = await sandbox.observe(connection, sent("authorize", 0, "").payment);
    if (observed.tag === "answered") hear(observed.snapshot);
  }

  return { account, events, run, settle, ask, view: () => view };
}

/** What a token comes to, where it is not a payment that is confirmed: after its confirmation and all that follows by itself. */
const ENDS: Partial<Record<Token, { status: PaymentView["status"]; captured?: number; refunded?: number }>> = {
  test_declined: { status: "failed" },
  test_insufficient_funds: { status: "failed" },
  test_expired_card: { status: "failed" },
  test_wrong_cvc: { status: "failed" },
  test_fraud: { status: "failed" },
  test_processing_error: { status: "failed" },
  test_delayed_failed: { status: "failed" },
  test_capture_fails: { status: "failed" },
  test_action_ok: { status: "requires_action" },
  test_action_failed: { status: "requires_action" },
  test_action_abandoned: { status: "expired" },
  test_refunded_in_dashboard: { status: "confirmed", captured: 10_000, refunded: 5_000 },
};

describe("a payment that is captured with its confirmation", () => {
  it.each(Object.keys(TOKENS) as Token[])("%s", async (token) => {
    const { account, run, settle, view } = aPayment(token, "automatic");
    await run("authorize");
    await settle();
    const { status, captured = 0, refunded = 0 } = ENDS[token] ?? { status: "confirmed", captured: 10_000 };
    expect({ ...view(), items: view().items.length }).toMatchObject({
      ...{ status, capturedMinor: captured, refundedMinor: refunded, items: 0 },
    });
    // At most one movement of each kind for a nonce, and our amounts are the provider's.
    const effects = (await account.effects()).map((line) => line.split(" "));
    const asked = effects.filter(([, , nonce]) => nonce !== "null").map(([kind, , nonce]) => `${kind} ${nonce}`);
    expect(new Set(asked).size).toBe(asked.length);
    const sum = (named: string) =>
      effects.filter(([kind]) => kind === named).reduce((total, [, amount]) => total + Number(amount), 0);
    expect([view().capturedMinor, view().refundedMinor]).toEqual([
      ...[sum("captured"), sum("refunded") - sum("refund_reversed")],
    ]);
  });

  it.each<[Token, number]>([
    ["test_ok", 3_000],
    ["test_refund_pending", 3_000],
    ["test_refund_fails", 0],
    ["test_refund_fails_later", 0],
    ["test_lost_answer", 3_000],
    ["test_lost_request", 3_000],
    ["test_timeout", 3_000],
    ["test_late_arrival", 3_000],
    ["test_500_then_ok", 3_000],
    ["test_429", 3_000],
    ["test_not_found_at_first", 3_000],
    ["test_no_query", 3_000],
    ["test_key_forgotten", 3_000],
    ["test_dispute_won", 3_000],
    ["test_refunded_in_dashboard", 8_000],
  ])("is refunded in part: %s", async (token, refunded) => {
    const { account, run, settle, view } = aPayment(token, "automatic");
    await run("authorize");
    await settle();
    await run("refund", 3_000);
    await settle();
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, refundedMinor: refunded });
    expect((await account.effects()).filter((line) => line === "refunded 3000 refund-2").length).toBeLessThanOrEqual(1);
  });
});

describe("money that comes late", () => {
  it("pays a payment that nobody here has seen to end", async () => {
    const { run, ask, view } = aPayment("test_paid_after_expiry", "automatic");
    await run("authorize");
    await ask(HOUR);
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
  });

  it("opens an item once, where the payment has ended here", async () => {
    const { account, events, run, ask, view } = aPayment("test_paid_after_expiry", "automatic");
    await run("authorize");
    await ask(5 * MINUTE);
    expect(view().status).toBe("expired");
    for (const pause of [3 * SECOND, SECOND, HOUR]) await ask(pause);
    expect(view()).toMatchObject({ status: "expired", items: [{ kind: "late_success" }] });
    expect(events.filter((type) => type === "reconciliation.item_opened").length).toBe(1);
    expect(await account.effects()).toEqual(["captured 10000 authorize-1"]);
  });
});

describe("a payer on the hosted page", () => {
  it.each<["pay" | "refuse", Token, PaymentView["status"]]>([
    ["pay", "test_action_ok", "confirmed"],
    ["refuse", "test_action_ok", "failed"],
    ["pay", "test_action_failed", "failed"],
    ["pay", "test_action_abandoned", "confirmed"],
    ["pay", "test_paid_after_expiry", "confirmed"],
  ])("presses %s: %s", async (choice, token, status) => {
    const { account, run, ask, view } = aPayment(token, "automatic");
    await run("authorize");
    expect(view()).toMatchObject({ status: "requires_action", nextAction: { type: "redirect" } });
    account.sandbox.press(view().providerReference ?? "", choice);
    await ask(0);
    expect(view()).toMatchObject({ status, nextAction: null });
  });
});

describe("disputes", () => {
  it.each<[Token, string]>([
    ["test_dispute_lost", "lost"],
    ["test_dispute_won", "won"],
    ["test_dispute_inquiry", "won"],
  ])("%s", async (token, state) => {
    const { events, run, ask, view } = aPayment(token, "automatic");
    await run("authorize");
    await ask(3 * SECOND);
    await ask(3 * SECOND);
    expect(view().disputes).toMatchObject([{ state, amountMinor: 10_000 }]);
    expect(events.filter((type) => type.startsWith("dispute."))).toEqual(["dispute.opened", "dispute.closed"]);
  });
});

describe("a payment that is captured later", () => {
  it.each<[Token, PaymentView["status"], captured: number]>([
    ["test_ok", "confirmed", 7_000],
    ["test_capture_async", "confirmed", 7_000],
    ["test_capture_fails", "authorized", 0],
    ["test_lost_answer", "confirmed", 7_000],
    ["test_lost_request", "confirmed", 7_000],
    ["test_timeout", "confirmed", 7_000],
    ["test_late_arrival", "confirmed", 7_000],
    ["test_500_then_ok", "confirmed", 7_000],
    ["test_429", "confirmed", 7_000],
    ["test_not_found_at_first", "confirmed", 7_000],
    ["test_no_query", "confirmed", 7_000],
    ["test_key_forgotten", "confirmed", 7_000],
  ])("%s", async (token, status, captured) => {
    const { account, run, settle, view } = aPayment(token, "manual");
    await run("authorize");
    await settle();
    expect(view().status).toBe("authorized");
    await run("capture", 7_000);
    await settle();
    expect(view()).toMatchObject({ status, capturedMinor: captured, items: [] });
    expect((await account.effects()).filter((line) => line.startsWith("captured")).length).toBe(captured > 0 ? 1 : 0);
  });

  it.each<Token>(["test_ok", "test_lost_answer", "test_late_arrival", "test_key_forgotten", "test_no_query"])(
    "may be cancelled: %s",
    async (token) => {
      const { account, run, settle, view } = aPayment(token, "manual");
      await run("authorize");
      await settle();
      await run("cancel");
      await settle();
      expect(view().status).toBe("cancelled");
      expect(await account.effects()).toEqual(["authorized 10000 authorize-1", "released 10000 cancel-2"]);
    },
  );

  it("lapses", async () => {
    const { run, settle, view } = aPayment("test_authorization_lapses", "manual");
    await run("authorize");
    expect(view().status).toBe("authorized");
    await settle();
    expect(view().status).toBe("expired");
  });
});
