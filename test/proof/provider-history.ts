/**
 * A provider's side of one payment, as steps that somebody drew make it: what it has after each step, as snapshots. It keeps
 * its own books and knows nothing of ours but the nonces of what it was asked for.
 */
import type {
  NextAction,
  ProviderCapture,
  ProviderDispute,
  ProviderRefund,
  ProviderStatus,
  Snapshot,
} from "../../src/provider/seam";

export const STEP_KINDS = [
  "ask the payer",
  "take time",
  "authorize",
  "take all",
  "decline",
  "capture",
  "settle capture",
  "fail capture",
  "cancel",
  "lapse",
  "refund",
  "refund at once",
  "refund in the dashboard",
  "settle refund",
  "fail refund",
  "inquire",
  "dispute",
  "win",
  "lose",
  "give more time",
] as const;

/** What happens at the provider; where it cannot, nothing does. */
export interface Step {
  readonly kind: (typeof STEP_KINDS)[number];
  /** Which of the things that are there. */
  readonly which: number;
  /** In minor units, of what is in parts. */
  readonly amount: number;
}

/** What was asked for here that the provider may know: the nonce and the amount. */
export interface Asked {
  readonly kind: "capture" | "refund";
  readonly nonce: string;
  readonly amountMinor: number;
}

type Changing<T> = { -readonly [Name in keyof T]: T[Name] };

export class Provider {
  status: ProviderStatus = "open";
  capturedMinor = 0;
  #nextAction: NextAction | null = null;
  readonly captures: Changing<ProviderCapture>[] = [];
  readonly refunds: Changing<ProviderRefund>[] = [];
  readonly disputes: Changing<ProviderDispute>[] = [];
  /** How often each step changed something. */
  readonly happened = new Map<string, number>();

  constructor(
    readonly amountMinor: number,
    readonly isManual: boolean,
    readonly asked: readonly Asked[],
    /** Of the snapshots. */
    readonly claims: Pick<Snapshot, "amountMinor" | "currency">,
  ) {}

  step(step: Step): void {
    if (!this.#apply(step)) return;
    this.happened.set(step.kind, (this.happened.get(step.kind) ?? 0) + 1);
  }

  snapshot(): Snapshot {
    return structuredClone({
      ...{ reference: "pay_1", ...this.claims, status: this.status, capturedMinor: this.capturedMinor },
      nextAction: this.status === "requires_action" ? this.#nextAction : null,
      failure:
        this.status === "failed" ? { code: "card_declined", decline_code: "do_not_honor", message: "Declined" } : null,
      ...{ captures: this.captures, refunds: this.refunds, disputes: this.disputes },
    });
  }

  /** Whether the step changed something. */
  #apply({ kind, which, amount }: Step): boolean {
    const isBefore = ["open", "requires_action", "processing"].includes(this.status);
    const isPaid = this.status === "captured";
    switch (kind) {
      case "ask the payer":
        if (!isBefore) return false;
        this.#nextAction = { type: "redirect", url: `https://bank.example/${which}` };
        return this.#become("requires_action");
      case "take time":
        return isBefore && this.#become("processing");
      case "authorize":
        return isBefore && this.isManual && this.#become("authorized");
      case "take all":
        return isBefore && !this.isManual && this.#capture(this.amountMinor);
      case "decline":
        return isBefore && this.#become("failed");
      case "capture": {
        const asked = this.#unseen("capture", this.captures)[0];
        if (this.status !== "authorized" || this.captures.some(({ state }) => state === "pending")) return false;
        if (which === 0) return this.#capture(Math.min(amount, this.amountMinor));
        if (asked === undefined) return false;
        const { nonce, amountMinor } = asked;
        this.captures.push({ nonce, amountMinor, state: which === 1 ? "succeeded" : "pending", failure: null });
        return which !== 1 || this.#capture(amountMinor);
      }
      case "settle capture": {
        const capture = this.captures.find(({ state }) => state === "pending");
        if (capture === undefined || this.status !== "authorized") return false;
        capture.state = "succeeded";
        return this.#capture(capture.amountMinor);
      }
      case "fail capture": {
        const capture = this.captures.find(({ state }) => state === "pending");
        if (capture === undefined || this.status !== "authorized") return false;
        capture.state = "failed";
        return true;
      }
      case "cancel":
        return (isBefore || this.status === "authorized") && this.#become("cancelled");
      case "lapse":
        return (isBefore || this.status === "authorized") && this.#become("expired");
      case "refund":
      case "refund at once": {
        const asked = this.#unseen("refund", this.refunds)[0];
        if (!isPaid || asked === undefined) return false;
        return this.#refund(asked.nonce, asked.amountMinor, kind === "refund" ? "pending" : "succeeded");
      }
      case "refund in the dashboard": {
        if (!isPaid || this.refunds.length > 6) return false;
        const nonce = which === 3 ? `theirs${this.refunds.length}` : null;
        return this.#refund(nonce, amount, which === 0 ? "pending" : "succeeded");
      }
      case "settle refund": {
        const pending = this.refunds.filter(({ state }) => state === "pending");
        const refund = pending[which % pending.length];
        if (refund !== undefined) refund.state = "succeeded";
        return refund !== undefined;
      }
      case "fail refund": {
        const able = this.refunds.filter(({ state }) => state !== "failed");
        const refund = able[which % able.length];
        if (refund === undefined) return false;
        if (refund.state === "succeeded") this.happened.set("fail later", 1);
        refund.state = "failed";
        return true;
      }
      case "inquire":
      case "dispute": {
        const inquiry = this.disputes.find(({ state }) => state === "inquiry");
        if (kind === "dispute" && inquiry !== undefined) {
          inquiry.state = "open";
          return true;
        }
        if (!isPaid || this.disputes.length > 2) return false;
        const reference = `dp_${this.disputes.length}`;
        const state = kind === "dispute" ? "open" : "inquiry";
        this.disputes.push({ reference, amountMinor: amount, state, reason: "fraudulent", dueAt: 1_000 });
        return true;
      }
      case "win":
      case "lose":
      case "give more time": {
        const dispute = this.disputes.find(({ state }) => state === "open" || state === "inquiry");
        if (dispute === undefined) return false;
        if (kind === "give more time") dispute.dueAt = 2_000 + which;
        else dispute.state = kind === "win" ? "won" : "lost";
        return true;
      }
    }
  }

  #become(status: ProviderStatus): boolean {
    const isNew = this.status !== status || status === "requires_action";
    this.status = status;
    return isNew;
  }

  #capture(amountMinor: number): boolean {
    this.capturedMinor = amountMinor;
    return this.#become("captured");
  }

  #refund(nonce: string | null, amountMinor: number, state: ProviderRefund["state"]): boolean {
    this.refunds.push({ reference: `re_${this.refunds.length}`, nonce, amountMinor, state, failure: null });
    return true;
  }

  /** What was asked for and has not arrived. */
  #unseen(kind: Asked["kind"], arrived: readonly { readonly nonce: string | null }[]): Asked[] {
    return this.asked.filter((one) => one.kind === kind && !arrived.some(({ nonce }) => nonce === one.nonce));
  }
}
