/** What happens to a payment in the sandbox's ledger by itself, when its time has come. Pure. */
import { captured, decide, paidLate } from "./actions";
import {
  behaviourOf,
  type Change,
  change,
  type Dispute,
  type Effect,
  laterOf,
  type MakeId,
  type Refund,
  refundable,
  type SandboxPayment,
  type Step,
} from "./ledger";

/** How long evidence is taken in a dispute, in milliseconds. */
const EVIDENCE_MS = 7 * 86_400_000;

/** Does what was to happen by itself; null when that is no longer so. */
export function happen(before: SandboxPayment, { step, ...of }: Step, makeId: MakeId, now: number): Change | null {
  const id = "id" in of ? of.id : "";
  switch (step) {
    case "decide":
      return before.status === "processing" ? decide(before, makeId) : null;
    case "end_action":
      return before.status === "requires_action"
        ? change({ ...before, status: "expired" }, [], paidLate(before))
        : null;
    case "lapse": {
      if (before.status !== "authorized" || before.captures.some(({ status }) => status === "pending")) return null;
      return change({ ...before, status: "expired" }, [{ kind: "released", amount: before.amount, nonce: null }], []);
    }
    case "pay_late":
      if (before.status !== "cancelled" && before.status !== "expired") return null;
      return decide({ ...before, status: "processing" }, makeId);
    case "end_capture": {
      const pending = before.captures.find((part) => part.id === id && part.status === "pending");
      if (!pending) return null;
      return captured({ ...before, captures: replaced(before.captures, pending.id, { status: "succeeded" }) }, pending);
    }
    case "end_refund": {
      const pending = before.refunds.find((part) => part.id === id && part.status === "pending");
      if (!pending) return null;
      const refunds = replaced(before.refunds, pending.id, { status: "succeeded" });
      const effect: Effect = { kind: "refunded", amount: pending.amount, nonce: pending.nonce };
      return change({ ...before, refunds }, [effect], [], "refund");
    }
    case "reverse_refund": {
      const made = before.refunds.find((part) => part.id === id && part.status === "succeeded");
      if (!made) return null;
      const refunds = replaced(before.refunds, made.id, { status: "failed", failure: "declined" });
      const effect: Effect = { kind: "refund_reversed", amount: made.amount, nonce: made.nonce };
      return change({ ...before, refunds }, [effect], [], "refund");
    }
    case "open_dispute":
      return openDispute(before, makeId, now);
    case "close_dispute":
      return closeDispute(before, id);
    case "refund_in_dashboard": {
      const amount = Math.min(Math.max(Math.floor(before.captured / 2), 1), refundable(before));
      if (amount <= 0) return null;
      const made: Refund = {
        ...{ id: makeId("sref"), amount, status: "succeeded", nonce: null, failure: null },
        reason: "Refunded in the dashboard",
      };
      const effect: Effect = { kind: "refunded", amount, nonce: null };
      return change({ ...before, refunds: [...before.refunds, made] }, [effect], [], "refund");
    }
  }
}

function openDispute(before: SandboxPayment, makeId: MakeId, now: number): Change | null {
  const amount = refundable(before);
  if (amount <= 0) return null;
  const made: Dispute = {
    ...{ id: makeId("sdis"), amount, reason: "not_received", evidence_due: now + EVIDENCE_MS },
    status: behaviourOf(before).dispute === "inquiry" ? "inquiry" : "open",
  };
  const disputes = [...before.disputes, made];
  return change({ ...before, disputes }, [], [laterOf("close_dispute", made.id)], "dispute");
}

function closeDispute(before: SandboxPayment, id: string): Change | null {
  const open = before.disputes.find((dispute) => dispute.id === id);
  if (!open || open.status === "won" || open.status === "lost") return null;
  const status = behaviourOf(before).dispute === "lost" ? "lost" : "won";
  const disputes = replaced(before.disputes, open.id, { status });
  const effects: Effect[] = status === "lost" ? [{ kind: "dispute_lost", amount: open.amount, nonce: null }] : [];
  return change({ ...before, disputes }, effects, [], "dispute");
}

function replaced<Thing extends { readonly id: string }>(
  things: readonly Thing[],
  id: string,
  changed: Partial<Thing>,
): Thing[] {
  return things.map((thing) => (thing.id === id ? { ...thing, ...changed } : thing));
}
