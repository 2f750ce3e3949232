/** The fields of a provider account's forms. Keys and secrets are never filled in: not from the server, not after a refusal. */
import type { ProviderAccountResponse } from "../../provider/accounts/routes/schemas";
import type { SecretRule } from "../../provider/seam";
import { type ProviderName, providerText, rulesOf } from "./explain";

interface FieldsProps {
  readonly provider: ProviderName;
  readonly name: string;
  /** Null for a new account. */
  readonly account: ProviderAccountResponse | null;
  /** Whether the provider may be asked at another URL, as on one's own machine. */
  readonly hasApiUrl: boolean;
}

/** What a secret begins with, as its placeholder. */
const shapeOf = ({ example }: SecretRule) => `${example.slice(0, /^(?:[a-z]+_)+/.exec(example)?.[0].length ?? 0)}…`;

export function AccountFields({ provider, name, account, hasApiUrl }: FieldsProps) {
  const { secrets, publishableKey } = rulesOf(provider);
  const { api_key: apiKey, webhook_secret: webhookSecret } = secrets;
  return (
    <>
      <Field
        label="Name"
        name="name"
        value={name}
        required
        maxlength={100}
        placeholder="Shop in Europe"
        hint="For people: to tell accounts apart."
      />
      {apiKey && (
        <Field
          label="API key"
          name="api_key"
          isSecret
          required={account === null}
          placeholder={shapeOf(apiKey)}
          hint={
            account === null
              ? `${apiKey.description}. The key itself says whether it moves real money.`
              : `Leave it empty to keep ${account.api_key}. Another one has to be of ${account.mode} mode, too.`
          }
        />
      )}
      {webhookSecret && (
        <Field
          label="Webhook secret"
          name="webhook_secret"
          isSecret
          placeholder={shapeOf(webhookSecret)}
          hint={
            account?.has_webhook_secret
              ? "Leave it empty to keep the one that is stored."
              : `${webhookSecret.description}. ${providerText(provider)} shows it once it has the account's notification URL, which you get next: leave it empty until then.`
          }
        />
      )}
      {publishableKey && (
        <Field
          label="Publishable key"
          name="publishable_key"
          value={account?.publishable_key ?? ""}
          placeholder={shapeOf(publishableKey)}
          hint={`${publishableKey.description}. Needed where payers enter their card in your own page.`}
        />
      )}
      {hasApiUrl && (
        <Field
          label="API URL"
          name="api_url"
          value={account?.api_url ?? ""}
          placeholder="http://127.0.0.1:12111"
          hint={`Only for a mock on this machine; leave it empty to ask ${providerText(provider)} itself.`}
        />
      )}
    </>
  );
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly hint: string;
  readonly placeholder: string;
  readonly value?: string;
  readonly required?: boolean;
  readonly maxlength?: number;
  /** Shown as dots, and never filled in. */
  readonly isSecret?: boolean;
}

function Field({ label, name, hint, placeholder, value, required, maxlength, isSecret = false }: FieldProps) {
  return (
    <div>
      <label>
        {label}
        <input
          name={name}
          type={isSecret ? "password" : "text"}
          value={isSecret ? undefined : value}
          required={required}
          maxlength={maxlength}
          placeholder={placeholder}
          autocomplete={isSecret ? "new-password" : "off"}
          spellcheck={false}
          aria-describedby={`${name}-hint`}
        />
      </label>
      <p class="hint" id={`${name}-hint`}>
        {hint}
      </p>
    </div>
  );
}

/** What was typed in a field, without the white space that comes along when a key is copied. */
const typed = (form: URLSearchParams, field: string): string => (form.get(field) ?? "").trim();

const given = (form: URLSearchParams, fields: readonly string[]): Record<string, string> =>
  Object.fromEntries(fields.flatMap((field) => (typed(form, field) === "" ? [] : [[field, typed(form, field)]])));

/** The fields of a new account as the API takes them: what is empty is left out. */
export function readNewAccount(form: URLSearchParams): object {
  return {
    ...given(form, ["provider", "api_key", "webhook_secret", "publishable_key", "api_url"]),
    name: form.get("name") ?? "",
    is_default: form.get("is_default") === "yes",
  };
}

/** The changes of an account: an empty secret stays as it is, an empty field that was shown is taken away. */
export function readChanges(form: URLSearchParams): object {
  const shown = ["publishable_key", "api_url"].filter((field) => form.has(field));
  return {
    name: form.get("name") ?? "",
    ...given(form, ["api_key"]),
    ...(form.get("remove_webhook_secret") === "yes" ? { webhook_secret: null } : given(form, ["webhook_secret"])),
    ...Object.fromEntries(shown.map((field) => [field, typed(form, field) || null])),
  };
}
