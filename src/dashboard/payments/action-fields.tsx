/** The forms of the actions: what each says that it will do, what it asks for, and what of that the API is told. */
import type { Child } from "hono/jsx";
import { currencyExponent } from "../../money/currency";
import type { Action } from "../../payment/lifecycle";
import type { PaymentResponse } from "../../payment/response";
import { FAILURE_CODES, FAILURES } from "../../provider/failures";
import { allowsSandbox } from "../../provider/providers";
import { SANDBOX_TOKENS } from "../../provider/sandbox-tokens";
import { TOKENS } from "../../sandbox/tokens";
import { moneyText, words } from "../format";
import type { Visit } from "../visit";
import { capturable } from "./facts";

interface ActionFields {
  /** On the link that leads to the form. */
  readonly name: string;
  readonly title: string;
  readonly isDangerous?: boolean;
  /** What its button says. */
  readonly submit: (visit: Visit, payment: PaymentResponse) => string;
  /** @param sent the form as it was sent, where it is shown again */
  readonly fields: (visit: Visit, payment: PaymentResponse, sent: URLSearchParams) => Child;
  /** What the API is told. */
  readonly body: (sent: URLSearchParams) => object;
}

/** The texts that were filled in. */
const filledIn = (sent: URLSearchParams, ...names: string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const text = sent.get(name)?.trim() ?? "";
      return text === "" ? [] : [[name, text]];
    }),
  );

/**
 * An amount as people write it. A comma before one or two digits is a decimal point. What could be thousands, as `1.000` of a
 * currency without thousandths, is none, and so is `1e3`: the API refuses it. So does it an amount that is missing: it is
 * never all that is left.
 */
const amountOf = (sent: URLSearchParams): string => {
  const text = (sent.get("amount") ?? "").replaceAll(/\s/g, "");
  if (/^\d+,\d{1,2}$/.test(text)) return text.replace(",", ".");
  const hasThousandths = currencyExponent(sent.get("currency") ?? "") === 3;
  const isThousands = /^\d{1,3}(\.\d{3})+$/.test(text) && !hasThousandths;
  return isThousands || /[^\d.]/.test(text) ? "" : text;
};

interface AmountFieldProps {
  readonly payment: PaymentResponse;
  readonly left: number;
  readonly sent: URLSearchParams;
  /** What is done to the amount: dashboard.js writes both on the button. */
  readonly verb: string;
}

function AmountField({ payment, left, sent, verb }: AmountFieldProps) {
  return (
    <label>
      Amount in {payment.currency}
      <input type="hidden" name="currency" value={payment.currency} />
      <input
        name="amount"
        required
        inputmode="decimal"
        autocomplete="off"
        value={sent.get("amount") ?? String(left)}
        data-names={verb}
      />
    </label>
  );
}

function ReasonField({ sent }: { sent: URLSearchParams }) {
  return (
    <label>
      Reason, for your own records and the provider's (may be empty)
      <input name="reason" maxlength={500} value={sent.get("reason") ?? ""} autocomplete="off" />
    </label>
  );
}

const money = (visit: Visit, { currency }: PaymentResponse, amount: number) => moneyText(visit, amount, currency);

export const ACTION_FIELDS: Readonly<Record<Action, ActionFields>> = {
  confirm: {
    name: "Confirm",
    title: "Confirm the payment",
    submit: (visit, payment) => `Confirm ${money(visit, payment, payment.amount)}`,
    fields: (visit, payment, sent) => (
      <>
        <p>
          The payer pays <strong>{money(visit, payment, payment.amount)}</strong>
          {payment.capture_method === "manual" ? ", which is held until you capture it." : "."}
        </p>
        <PaymentMethodField visit={visit} payment={payment} sent={sent} />
      </>
    ),
    body: (sent) => filledIn(sent, "payment_method"),
  },
  capture: {
    name: "Capture",
    title: "Capture the payment",
    submit: () => "Capture this amount",
    fields: (visit, payment, sent) => (
      <>
        <p>
          <strong>{money(visit, payment, capturable(payment))}</strong> is held. What you do not capture of it is
          released.
        </p>
        <AmountField payment={payment} left={capturable(payment)} sent={sent} verb="Capture" />
      </>
    ),
    body: (sent) => ({ amount: amountOf(sent) }),
  },
  cancel: {
    name: "Cancel payment",
    title: "Cancel the payment",
    isDangerous: true,
    submit: () => "Cancel the payment",
    fields: (visit, payment, sent) => (
      <>
        <p>
          {payment.status === "authorized" ? (
            <>
              <strong>{money(visit, payment, payment.amount)}</strong> is held, and is released.
            </>
          ) : (
            <>
              Nobody pays <strong>{money(visit, payment, payment.amount)}</strong> any more.
            </>
          )}{" "}
          This cannot be undone.
        </p>
        <ReasonField sent={sent} />
      </>
    ),
    body: (sent) => filledIn(sent, "reason"),
  },
  fail: {
    name: "End as failed",
    title: "End the payment as failed",
    isDangerous: true,
    submit: () => "End as failed",
    fields: (visit, payment, sent) => (
      <>
        <p>
          Nobody pays <strong>{money(visit, payment, payment.amount)}</strong> any more. This cannot be undone.
        </p>
        <label>
          Why
          <select name="code">
            {FAILURE_CODES.map((code) => (
              <option value={code} selected={code === (sent.get("code") ?? "failed_by_request")}>
                {words(code)}: {FAILURES[code]}
              </option>
            ))}
          </select>
        </label>
        <label>
          In words, for developers and support (may be empty)
          <input name="message" maxlength={500} value={sent.get("message") ?? ""} autocomplete="off" />
        </label>
      </>
    ),
    body: (sent) => filledIn(sent, "code", "message"),
  },
  refund: {
    name: "Refund",
    title: "Refund the payment",
    submit: () => "Refund this amount",
    fields: (visit, payment, sent) => (
      <>
        <p>
          <strong>{money(visit, payment, payment.amount_refundable)}</strong> is left to give back of{" "}
          {money(visit, payment, payment.amount_captured)}. Change the amount to give back a part.
        </p>
        <AmountField payment={payment} left={payment.amount_refundable} sent={sent} verb="Refund" />
        <ReasonField sent={sent} />
      </>
    ),
    body: (sent) => ({ amount: amountOf(sent), ...filledIn(sent, "reason") }),
  },
};

/** How the payer pays, where a provider moves the money: in the sandbox one of its tokens. */
function PaymentMethodField(props: { visit: Visit; payment: PaymentResponse; sent: URLSearchParams }) {
  const { visit, payment, sent } = props;
  const chosen = sent.get("payment_method") ?? "";
  if (payment.provider === "internal") return null;
  if (payment.provider !== "sandbox" || !allowsSandbox(visit.c.env)) {
    return (
      <label>
        The payer's means of payment, as the provider's token (may be empty)
        <input name="payment_method" value={chosen} autocomplete="off" spellcheck={false} />
      </label>
    );
  }
  const groups = Map.groupBy(SANDBOX_TOKENS, (token) => TOKENS[token].group);
  return (
    <label>
      Means of payment, in the sandbox
      <select name="payment_method">
        <option value="">As the payment was created</option>
        {[...groups].map(([group, tokens]) => (
          <optgroup label={group}>
            {tokens.map((token) => (
              <option value={token} selected={token === chosen}>
                {token}: {TOKENS[token].does}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}
