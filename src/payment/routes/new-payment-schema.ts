/** What a payment is made of: the body of a creation. */
import { z } from "@hono/zod-openapi";
import { PositiveInteger } from "../../http/fields";
import { DEFAULT_CURRENCY } from "../../money/currency";
import { MAX_AMOUNT } from "../../money/money";
import { ACCOUNT_NAME_PATTERN } from "../../provider/accounts/names";
import { providerOfName } from "../../provider/accounts/of-new-payment";
import { PROVIDER_NAMES, PROVIDERS, type ProviderName } from "../../provider/providers";
import { CAPTURE_METHODS } from "../../provider/seam";
import type { NewPayment } from "../create";
import { PAYMENT_DEFAULTS } from "../payment";
import { AmountUnion, currencyCode, isAmount, readAmount } from "./payment-schemas";
import { Metadata, Reference, shortText, textOf } from "./text-schemas";

/** From a minute to 30 days, in seconds. */
const EXPIRES_IN = { minimum: 60, maximum: 2_592_000 };
const EXPIRES_IN_MESSAGE = `Must be an integer from ${EXPIRES_IN.minimum} to ${EXPIRES_IN.maximum}`;

const ExpiresIn = z
  .number({ error: EXPIRES_IN_MESSAGE })
  .refine((value) => Number.isInteger(value) && value >= EXPIRES_IN.minimum && value <= EXPIRES_IN.maximum, {
    error: EXPIRES_IN_MESSAGE,
  })
  .openapi({
    type: "integer",
    ...EXPIRES_IN,
    description:
      "After how many seconds the payment expires if nobody completes it: from a minute (60) to 30 days (2592000). Without it, never",
  });

const MAX_PAYMENT_METHOD_LENGTH = 255;
const MAX_URL_LENGTH = 2_048;

/** What is wrong with where a browser is to return to, or null. */
function returnUrlFault(text: string): string | null {
  if ([...text].length > MAX_URL_LENGTH) return `Must be at most ${MAX_URL_LENGTH} characters long`;
  // The parser would drop white space, and take `https:shop.example.com` for a URL.
  if (!/^https?:\/\/[^\s\p{Cc}]+$/iu.test(text) || !URL.canParse(text)) {
    return "Must be an absolute http or https URL, such as https://shop.example.com/orders/42";
  }
  const { href, username, password } = new URL(text);
  if (username !== "" || password !== "") return "Must have no user name and no password";
  return href.length > MAX_URL_LENGTH ? `Must be at most ${MAX_URL_LENGTH} characters long when percent-encoded` : null;
}

/** It is kept sealed, and shown nowhere. */
export const PaymentMethod = textOf(
  MAX_PAYMENT_METHOD_LENGTH,
  `The provider's token for the payer's means of payment, of at most ${MAX_PAYMENT_METHOD_LENGTH} characters; \`internal\` refuses it, and \`sandbox\` all but its own tokens`,
);

/** In its one normal spelling. */
export const ReturnUrl = z
  .string({ error: "Must be a string" })
  .transform((text, context) => {
    const fault = returnUrlFault(text);
    if (fault === null) return new URL(text).href;
    context.addIssue({ code: "custom", message: fault });
    return z.NEVER;
  })
  .openapi({
    type: "string",
    maxLength: MAX_URL_LENGTH,
    description: `Where the payer's browser returns to: an absolute http or https URL of at most ${MAX_URL_LENGTH} characters, without a user name and a password; \`internal\` refuses it`,
  });

const DEFAULT_PROVIDER = "internal" satisfies ProviderName;
const ACCOUNT_MESSAGE = "Must be the name of a provider account, such as stripe_3";

type NewPaymentBody = z.output<typeof NewPaymentFields>;

/** No field but the currency has a default in the document: generators make what has one a required field of the request. */
const NewPaymentFields = z.strictObject(
  {
    order_id: PositiveInteger.optional().openapi({
      description: "The order that is paid for. Required without `reference`",
    }),
    reference: Reference.optional(),
    amount: AmountUnion.openapi({
      description:
        "In major units, with no more decimal places than the currency has: two for USD, none for JPY, " +
        `three for KWD. A JSON number, or a decimal string; at most ${MAX_AMOUNT}.`,
    }),
    currency: currencyCode(z.string({ error: "Must be a string" })).default(DEFAULT_CURRENCY),
    description: shortText("What is paid for, in words: 1 to 500 characters of Unicode text without NUL").optional(),
    expires_in: ExpiresIn.optional(),
    provider: z
      .enum(PROVIDER_NAMES, { error: `Must be one of ${PROVIDER_NAMES.join(", ")}` })
      .optional()
      .openapi({
        description: `What moves the money; \`internal\` settles at once, \`sandbox\` moves none. Without it, the merchant's default account decides, and without one \`${DEFAULT_PROVIDER}\``,
      }),
    provider_account: z
      .string({ error: ACCOUNT_MESSAGE })
      .regex(ACCOUNT_NAME_PATTERN, { error: ACCOUNT_MESSAGE })
      .optional()
      .openapi({
        example: "stripe_3",
        description:
          "The merchant's account at the provider, such as `stripe_3`. Without it, the default account where it is one of the provider's, or its only enabled one",
      }),
    capture_method: z
      .enum(CAPTURE_METHODS, { error: `Must be one of ${CAPTURE_METHODS.join(", ")}` })
      .optional()
      .openapi({
        description:
          "When the money is taken: with the confirmation (`automatic`), or when it is captured (`manual`, which `internal` refuses). " +
          `\`${PAYMENT_DEFAULTS.capture_method}\` without it`,
      }),
    payment_method: PaymentMethod.optional(),
    return_url: ReturnUrl.optional(),
    single: z.boolean({ error: "Must be true or false" }).optional().openapi({
      description:
        "Whether this is to be the only live or paid payment of its order or reference: it is refused while there is another, and others are while it is live or paid. `false` without it",
    }),
    metadata: Metadata.optional(),
  },
  { error: "Must be a JSON object" },
);

/** Of a creation, what a provider may not do. */
type Demands = Pick<NewPaymentBody, "capture_method" | "return_url" | "payment_method">;

/** Whether a creation demands something that not every provider does. */
export const isDemanding = ({ capture_method, return_url, payment_method }: Demands): boolean =>
  capture_method === "manual" || return_url !== undefined || payment_method !== undefined;

/** The provider that a creation names, by itself or by its account; undefined where the merchant's default decides. */
export const namedProvider = ({
  provider,
  provider_account,
}: Pick<NewPaymentBody, "provider" | "provider_account">): ProviderName | undefined =>
  provider ?? providerOfName(provider_account);

/** What is wrong with the account that a creation names, or null. */
function accountFault({ provider, provider_account }: NewPaymentBody): string | null {
  if (provider_account === undefined) return null;
  const named = providerOfName(provider_account);
  if (named === undefined) return ACCOUNT_MESSAGE;
  return provider === undefined || provider === named
    ? null
    : `Must be an account of the provider ${provider}, which ${provider_account} is not`;
}

/** What is asked of a provider that does not do it: the fields at fault, each with what is said of it. */
export function refusedByProvider(provider: ProviderName, body: Demands): [field: string, message: string][] {
  const adapter = PROVIDERS[provider];
  const faults: [string, string][] = [];
  if (body.capture_method === "manual" && !adapter?.capabilities.manualCapture) {
    faults.push(["capture_method", `Must be automatic: the provider ${provider} captures at once`]);
  }
  if (adapter === null && typeof body.return_url === "string") faults.push(["return_url", takesNone(provider)]);
  return faults;
}

const takesNone = (provider: ProviderName) => `The provider ${provider} takes none`;

/**
 * What is wrong with the token of a creation, or null. No part of the schema, which does not know what the operator allows: a card
 * number in its place is to be refused as one.
 */
export function paymentMethodFault(
  provider: ProviderName,
  { payment_method: paymentMethod }: Pick<RequestedPayment, "payment_method">,
): string | null {
  // Without one, the confirmation has to name it.
  if (paymentMethod === undefined) return null;
  const adapter = PROVIDERS[provider];
  if (adapter === null) return takesNone(provider);
  const fault = adapter.check?.("authorize", { paymentMethod });
  return fault?.field === "payment_method" ? fault.detail : null;
}

/** The fields of a body that may be no object. */
export const fieldsOf = (value: unknown): Partial<NewPaymentBody> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};

const isObject = ({ value }: { value: unknown }) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A payment as it is asked for, with the token in clear: it is to be sealed before it is stored. */
export interface RequestedPayment extends NewPayment {
  readonly payment_method?: string;
}

export const NewPaymentSchema = NewPaymentFields.superRefine(
  (body, context) => {
    const read = readAmount(body);
    if (!read.ok) context.addIssue({ code: "custom", path: ["amount"], message: read.detail });
  },
  { when: ({ value }) => isAmount(fieldsOf(value).amount) },
)
  .superRefine(
    ({ order_id, reference }, context) => {
      if (order_id !== undefined || reference !== undefined) return;
      context.addIssue({ code: "custom", path: ["order_id"], message: "One of order_id and reference is required" });
      // It goes first, as when the field was always required: `detail` is the first violation.
      context.issues.unshift(...context.issues.splice(-1));
    },
    { when: isObject },
  )
  .superRefine(
    (body, context) => {
      const provider = namedProvider(body);
      const account = accountFault(body);
      const faults = provider === undefined ? [] : refusedByProvider(provider, body);
      if (account !== null) faults.push(["provider_account", account]);
      for (const [field, message] of faults) context.addIssue({ code: "custom", path: [field], message });
    },
    {
      when: ({ value }) => {
        const { provider = DEFAULT_PROVIDER } = fieldsOf(value);
        return isObject({ value }) && PROVIDER_NAMES.includes(provider);
      },
    },
  )
  .transform((body): RequestedPayment => {
    const read = readAmount(body);
    if (!read.ok) return z.NEVER;
    const { order_id = null, reference, currency, description, expires_in, return_url } = body;
    const { provider_account, capture_method = PAYMENT_DEFAULTS.capture_method } = body;
    const provider = namedProvider(body);
    const { payment_method, single, metadata = {} } = body;
    // What was not given, or is what it would be anyway, is no part of the request's fingerprint.
    return {
      order_id,
      amount_minor: read.minor,
      currency,
      ...(reference !== undefined && { reference }),
      ...(description !== undefined && { description }),
      ...(expires_in !== undefined && { expires_in }),
      ...(capture_method !== PAYMENT_DEFAULTS.capture_method && { capture_method }),
      ...(return_url !== undefined && { return_url }),
      ...(provider !== undefined && { provider }),
      ...(provider_account !== undefined && { provider_account }),
      ...(payment_method !== undefined && { payment_method }),
      ...(single && { single: 1 as const }),
      metadata,
    };
  })
  .openapi("NewPayment", {
    description: "What a payment is made of",
    example: { order_id: 42, amount: 99.99, currency: "USD" },
  });
