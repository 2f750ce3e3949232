/** What becomes of a payment with each token of the sandbox, from the answer to the end: a token without a row fails. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SANDBOX_TOKENS, type SandboxToken } from "../../../src/provider/sandbox-tokens";
import { ask, effectsOf, eventTypesOf, newPayment, operationsOf, pressed, resumed, untilStill } from "./shop";

interface Course {
  /** What the confirmation is answered. */
  readonly answer: readonly [status: number, of: string];
  /** What the payer presses on the hosted page, if anything. */
  readonly presses?: "pay" | "refuse";
  /** What the payment is in the end. */
  readonly end: string;
  /** Its events after its creation. */
  readonly events: readonly string[];
  readonly operations?: readonly string[];
  /** Money that has moved at the provider, in minor units. */
  readonly effects?: readonly string[];
  readonly items?: readonly string[];
}

const PAID = "payment.confirmed";
const TAKEN = ["captured 9999"];
const SETTLED = ["authorize succeeded"];

const AT_ONCE: Course = {
  answer: [200, "confirmed"],
  end: "confirmed",
  events: [PAID],
  effects: TAKEN,
  operations: SETTLED,
};
const LATER: Course = { ...AT_ONCE, answer: [202, "processing"], events: ["payment.processing", PAID] };
const declined = (code: string): Course => ({
  answer: [402, code],
  end: `failed ${code}`,
  events: ["payment.failed"],
  operations: ["authorize declined"],
});
const ASKED: Course = { ...AT_ONCE, answer: [202, "requires_action"], events: ["payment.requires_action", PAID] };
const refused = (code: string): Course => ({
  ...ASKED,
  end: `failed ${code}`,
  events: ["payment.requires_action", "payment.failed"],
  operations: ["authorize declined"],
  effects: [],
});
const EXPIRES: Course = {
  ...ASKED,
  end: "expired expired",
  events: ["payment.requires_action", "payment.expired"],
  operations: ["authorize failed"],
  effects: [],
};

const COURSES: Readonly<Record<SandboxToken, Course>> = {
  test_ok: AT_ONCE,
  test_declined: declined("card_declined"),
  test_insufficient_funds: declined("insufficient_funds"),
  test_expired_card: declined("expired_card"),
  test_wrong_cvc: declined("incorrect_cvc"),
  test_fraud: declined("fraud_suspected"),
  test_processing_error: declined("processing_error"),
  test_action_ok: { ...ASKED, presses: "pay" },
  test_action_failed: { ...refused("authentication_failed"), presses: "pay" },
  test_action_abandoned: EXPIRES,
  test_delayed_ok: LATER,
  test_delayed_failed: {
    ...declined("card_declined"),
    answer: [202, "processing"],
    events: ["payment.processing", "payment.failed"],
  },
  test_lost_answer: LATER,
  test_lost_request: LATER,
  test_timeout: LATER,
  test_late_arrival: LATER,
  test_500_then_ok: LATER,
  test_429: LATER,
  test_not_found_at_first: LATER,
  test_key_forgotten: LATER,
  test_no_query: LATER,
  test_notified_twice: LATER,
  test_notified_reordered: LATER,
  test_notified_before_answer: AT_ONCE,
  test_notified_never: LATER,
  test_notified_bad_signature: LATER,
  // Without a capture of its own, the authorisation and the capture are one.
  test_capture_fails: declined("capture_failed"),
  test_capture_async: LATER,
  test_authorization_lapses: AT_ONCE,
  test_refund_pending: AT_ONCE,
  test_refund_fails: AT_ONCE,
  test_refund_fails_later: AT_ONCE,
  test_dispute_lost: {
    ...AT_ONCE,
    events: [PAID, "dispute.opened", "dispute.closed"],
    effects: [...TAKEN, "dispute_lost 9999"],
  },
  test_dispute_won: { ...AT_ONCE, events: [PAID, "dispute.opened", "dispute.closed"] },
  test_dispute_inquiry: { ...AT_ONCE, events: [PAID, "dispute.opened", "dispute.closed"] },
  test_paid_after_expiry: {
    ...EXPIRES,
    events: [...EXPIRES.events, "reconciliation.item_opened"],
    effects: TAKEN,
    items: ["late_success"],
  },
  test_refunded_in_dashboard: {
    ...AT_ONCE,
    events: [PAID, "refund.succeeded"],
    operations: [...SETTLED, "refund succeeded"],
    effects: [...TAKEN, "refunded 4999"],
  },
};

// Only the sandbox's clock goes on, which its tests move.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Has whoever waits for an answer, and whoever holds it back, wait an eighth of the time: in the same order, and not 8 s. */
function waitLess(): void {
  const wait = scheduler.wait.bind(scheduler);
  vi.spyOn(scheduler, "wait").mockImplementation((milliseconds, options) => wait(milliseconds / 8, options));
}

it("has a row for each token, and no other", () => {
  expect(Object.keys(COURSES)).toEqual([...SANDBOX_TOKENS]);
});

it("what the payer refuses has failed", async () => {
  await expectCourse("test_action_ok", { ...refused("cancelled_by_payer"), presses: "refuse" });
});

it.each(Object.entries(COURSES))("%s", async (token, course) => {
  if (token === "test_timeout") waitLess();
  await expectCourse(token, course);
});

async function expectCourse(token: string, course: Course): Promise<void> {
  const { id } = await newPayment();
  const { status, body } = await ask(id, "confirm", { payment_method: token }, `${id}-confirm`);
  expect([status, status === 402 ? body.failure?.code : body.status]).toEqual(course.answer);
  if (course.presses) await pressed(body, course.presses);
  await untilStill(id);
  const end = await resumed(id);
  expect([end.status, end.failure?.code].filter(Boolean).join(" ")).toBe(course.end);
  expect(end.next_action).toBeNull();
  const rows = await operationsOf(id);
  expect(rows.map(({ kind, state }) => `${kind} ${state}`)).toEqual(course.operations ?? SETTLED);
  expect(await eventTypesOf(id)).toEqual(["payment.created", ...course.events]);
  expect(await effectsOf(id)).toEqual(course.effects ?? []);
  const { results } = await env.DB.prepare("SELECT kind FROM reconciliation_items WHERE payment_id = ?")
    .bind(id)
    .all<{ kind: string }>();
  expect(results.map(({ kind }) => kind)).toEqual(course.items ?? []);
  // A replay is answered as the first one was, of what the payment is now.
  const again = await ask(id, "confirm", { payment_method: token }, `${id}-confirm`);
  const isOver = end.status === "failed" || end.status === "expired";
  expect([again.status, again.replayed]).toEqual([isOver ? 402 : 200, true]);
}
