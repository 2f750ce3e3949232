/** What the state of a provider account means, and what to do at the provider. */
import type { Child } from "hono/jsx";
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import { ACCOUNT_PROVIDERS } from "../../provider/providers";
import type { AccountRules } from "../../provider/seam";
import { Badge, Time } from "../format";
import type { Tone } from "../tones";
import { may, type Visit } from "../visit";

export const ACCOUNTS_PATH = "/dashboard/providers";

export type ProviderName = ProviderAccountResponse["provider"];

/** A provider's name as people write it, with a capital. */
export const providerText = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** What the accounts of a provider consist of. */
export function rulesOf(provider: ProviderName): AccountRules {
  const adapter = ACCOUNT_PROVIDERS[provider];
  if (adapter === undefined) throw new Error(`No adapter of the provider ${provider}`);
  return adapter.account;
}

/** Whether the provider's notifications are refused for want of the secret that signs them. */
const lacksWebhookSecret = ({ provider, has_webhook_secret }: ProviderAccountResponse): boolean =>
  !has_webhook_secret && rulesOf(provider).secrets.webhook_secret !== undefined;

/** How an account is doing: the worst that is to be said of it. */
export function healthOf(account: ProviderAccountResponse): {
  readonly tone: Tone;
  readonly text: string;
  readonly since: string | null;
} {
  const { disabled_at, failing_since } = account;
  if (disabled_at !== null) return { tone: "over", text: "disabled", since: disabled_at };
  if (failing_since !== null) return { tone: "bad", text: "key refused", since: failing_since };
  if (lacksWebhookSecret(account)) return { tone: "waiting", text: "no webhook secret", since: null };
  return { tone: "good", text: "working", since: null };
}

export function Health({ visit, account }: { visit: Visit; account: ProviderAccountResponse }) {
  const { tone, text, since } = healthOf(account);
  return (
    <>
      <Badge tone={tone} text={text} />
      {since !== null && (
        <>
          {" since "}
          <Time visit={visit} at={since} />
        </>
      )}
    </>
  );
}

/** Test and live mode, told apart by colour and in words. */
export function Mode({ mode }: Pick<ProviderAccountResponse, "mode">) {
  return mode === "live" ? (
    <>
      <Badge tone="good" text="LIVE" /> real money
    </>
  ) : (
    <>
      <Badge tone="waiting" text="TEST" /> no real money
    </>
  );
}

/** Where an API key is replaced at each provider. */
const KEYS_AT: Readonly<Record<ProviderName, string>> = {
  stripe: "Stripe's dashboard under Developers, API keys",
  mollie: "Mollie's dashboard under Developers, API keys",
};

/** What is wrong with an account, and what to do about it; null where nothing is. */
export function Trouble({ visit, account }: { visit: Visit; account: ProviderAccountResponse }) {
  const { provider, failing_since, failure, disabled_at } = account;
  if (failing_since !== null) {
    return (
      <div class="refusal" role="alert">
        <strong>{providerText(provider)} refuses this account's API key</strong>
        <p>
          {failure ?? "It gave no reason"}, since <Time visit={visit} at={failing_since} />. Payments at this account
          cannot be confirmed, captured or refunded meanwhile, and what is under way stays undecided.
        </p>
        <p>
          Look at the key in {KEYS_AT[provider]}. If it was revoked or has expired, make a new one and enter it under
          “Change”. If only a permission was missing, grant it and press “Check now”.
        </p>
      </div>
    );
  }
  if (disabled_at !== null) {
    return (
      <p class="hint">
        New payments cannot be created or confirmed at this account. Captures, cancellations and refunds of what was
        confirmed at it still work.
      </p>
    );
  }
  return null;
}

/** The events that a webhook endpoint at Stripe is to send: those that may change a payment, a refund or a dispute. */
const STRIPE_EVENTS = [
  ...["payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.processing"],
  ...["payment_intent.requires_action", "payment_intent.amount_capturable_updated", "payment_intent.canceled"],
  ...["charge.refunded", "refund.created", "refund.updated", "refund.failed"],
  ...["charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"],
  ...["charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"],
] as const;

/** How each provider comes to send its notifications. */
const NOTIFICATIONS: Readonly<Record<ProviderName, (account: ProviderAccountResponse) => Child>> = {
  stripe: ({ has_webhook_secret }) => (
    <>
      <ol class="steps">
        <li>
          In Stripe's dashboard, in the same mode as this account's key, add a webhook endpoint under Developers,
          Webhooks, with this URL.
        </li>
        <li>
          Select these events:
          <details id="stripe-events">
            <summary>{STRIPE_EVENTS.length} events</summary>
            <pre tabindex={0}>{STRIPE_EVENTS.join("\n")}</pre>
          </details>
        </li>
        <li>
          Copy the endpoint's signing secret (<code>whsec_…</code>), and enter it here under “Change”.{" "}
          {has_webhook_secret ? <Badge tone="good" text="done" /> : <Badge tone="waiting" text="to do" />}
        </li>
      </ol>
      <p class="hint">
        While you roll the secret at Stripe, enter the new and the old one with a comma between them: both are accepted.
      </p>
    </>
  ),
  mollie: () => (
    <p>
      Nothing to set up: each payment tells Mollie where to send its notifications, at this URL with a code of its own.
      It has to be reachable from the internet over HTTPS.
    </p>
  ),
};

/** Where the provider sends its notifications, to copy, and what to do with that there. */
export function NotificationSetup({ account }: { account: ProviderAccountResponse }) {
  const { provider, notification_url: url } = account;
  return (
    <section class="card" aria-label="Notifications">
      <h2>Notifications from {providerText(provider)}</h2>
      <div class="shown-once">
        <label>
          Notification URL
          <input readonly value={url} autocomplete="off" spellcheck={false} />
        </label>
        <button type="button" class="quiet" data-copy={url}>
          Copy
        </button>
      </div>
      {NOTIFICATIONS[provider](account)}
      {lacksWebhookSecret(account) && (
        <p>
          <strong>Until the secret is entered, notifications are refused</strong>, and what happens at{" "}
          {providerText(provider)} is noticed only when the service asks by itself, which can take hours.
        </p>
      )}
    </section>
  );
}

/** A provider account, as a link for who may see it. */
export function AccountLink({ visit, id }: { visit: Visit; id: string | null }) {
  if (id === null) return <span class="quiet-text">–</span>;
  const name = <code>{id}</code>;
  return may(visit, "providers:manage") ? <a href={`${ACCOUNTS_PATH}/${id}`}>{name}</a> : name;
}
