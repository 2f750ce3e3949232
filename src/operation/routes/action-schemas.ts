/** The bodies of the actions: what each takes, and what that asks for. */
import { z } from "@hono/zod-openapi";
import { NOT_AN_OBJECT_MESSAGE } from "../../http/fields";
import { MAX_EXPONENT } from "../../money/currency";
import { toMinor } from "../../money/money";
import type { Action } from "../../payment/lifecycle";
import { PaymentMethod, ReturnUrl } from "../../payment/routes/new-payment-schema";
import { Amount } from "../../payment/routes/payment-schemas";
import { shortText } from "../../payment/routes/text-schemas";
import { FAILURE_CODES, FAILURES, type Failure, type FailureCode } from "../../provider/failures";
import type { ActionRequest } from "../run-action";

/** What is asked for, and what of it an idempotency key stands for: nothing, where nothing was said. */
interface Details {
  readonly asked: Pick<ActionRequest, "amount" | "failure" | "reason" | "paymentMethod" | "returnUrl">;
  readonly fingerprinted: {
    readonly amount?: number | string;
    readonly reason?: string;
    readonly code?: FailureCode | undefined;
    readonly message?: string | undefined;
    readonly payment_method?: string | undefined;
    readonly return_url?: string | undefined;
  };
}

const NOTHING_ASKED: Details = { asked: {}, fingerprinted: {} };

interface ActionBody {
  /** Null where the action takes no body. */
  readonly schema: z.ZodType | null;
  /** What the body is for, as a sentence. */
  readonly says: string;
  readonly read: (body: unknown) => Details;
}

/**
 * An amount of any currency, which tells spellings of one amount alike: the payment's own may have fewer decimal places. What is too
 * fine for all of them stays as it is: null would be all that is left.
 */
export function normalised(amount: number | string): number | string {
  const read = toMinor(amount, MAX_EXPONENT);
  return read.ok ? read.minor : String(amount);
}

const ConfirmBody = z
  .strictObject({ payment_method: PaymentMethod.optional(), return_url: ReturnUrl.optional() }, NOT_AN_OBJECT_MESSAGE)
  .openapi("Confirmation", {
    description: "How the payer pays; what it leaves out is as the creation said",
    example: {},
  });

const CaptureBody = z
  .strictObject(
    {
      amount: Amount.optional().openapi({
        description: "What is captured of the authorised amount, in major units; the rest is released. Without it, all",
      }),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("Capture", {
    description: "How much is captured",
    example: { amount: 40 },
  });

const CancelBody = z
  .strictObject({ reason: shortText("Why, for your own records and the provider's").optional() }, NOT_AN_OBJECT_MESSAGE)
  .openapi("Cancellation", {
    description: "Why a payment is cancelled",
    example: { reason: "The order was cancelled" },
  });

const FailBody = z
  .strictObject(
    {
      code: z
        .enum(FAILURE_CODES, { error: `Must be one of ${FAILURE_CODES.join(", ")}` })
        .optional()
        .openapi({ description: "Why the payment has failed; `failed_by_request` without it" }),
      message: shortText("Why, in words; without it, those of the code").optional(),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("FailRequest", {
    description: "Why a payment has failed",
    example: { code: "fraud_suspected" },
  });

const NO_BODY: ActionBody = {
  schema: null,
  says: "Takes no body.",
  read: () => NOTHING_ASKED,
};

/** An entry of the table: the reader gets what its schema makes. */
function taking<S extends z.ZodType>(schema: S, says: string, read: (body: z.output<S>) => Details): ActionBody {
  return { schema, says, read: (body) => read(schema.parse(body)) };
}

export const ACTION_BODIES: Readonly<Record<Action, ActionBody>> = {
  confirm: taking(ConfirmBody, "The body may say how the payer pays, where a provider moves the money.", (body) => {
    const { payment_method: paymentMethod, return_url: returnUrl } = body;
    return {
      asked: { ...(paymentMethod !== undefined && { paymentMethod }), ...(returnUrl !== undefined && { returnUrl }) },
      fingerprinted: { ...body },
    };
  }),
  capture: taking(CaptureBody, "The body may say how much.", (body) => {
    const { amount } = body;
    return amount === undefined ? NOTHING_ASKED : { asked: { amount }, fingerprinted: { amount: normalised(amount) } };
  }),
  cancel: taking(CancelBody, "The body may say why.", (body) => {
    const { reason } = body;
    return reason === undefined ? NOTHING_ASKED : { asked: { reason }, fingerprinted: { reason } };
  }),
  fail: taking(FailBody, "The body may say why.", (body) => {
    const { code, message } = body;
    if (code === undefined && message === undefined) return NOTHING_ASKED;
    const failure: Failure = {
      code: code ?? "failed_by_request",
      decline_code: null,
      message: message ?? FAILURES[code ?? "failed_by_request"],
    };
    return { asked: { failure }, fingerprinted: { code, message } };
  }),
  refund: NO_BODY,
};
