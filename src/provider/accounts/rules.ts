/** What is wrong with the texts of an account, by its provider's rules, and what of a key may be shown. Pure. */
import { LOOPBACK } from "../../auth/local";
import type { AccountMode, AccountRules, SecretRule } from "../seam";

/** The texts that an account is given; what is undefined or null is not given. */
export interface AccountTexts {
  readonly api_key?: string | undefined;
  readonly webhook_secret?: string | null | undefined;
  readonly publishable_key?: string | null | undefined;
  readonly api_url?: string | null | undefined;
}

export interface AccountFault {
  readonly field: keyof AccountTexts;
  readonly detail: string;
}

/**
 * What is wrong with texts, in a sentence each; nothing of a secret is in them.
 *
 * @param mode of the account, which it keeps; null for a new one
 * @param allowsOwnUrls whether the service runs on one's own machine
 */
export function accountFaults(
  rules: AccountRules,
  texts: AccountTexts,
  mode: AccountMode | null,
  allowsOwnUrls: boolean,
): AccountFault[] {
  const { api_key, webhook_secret, publishable_key, api_url } = texts;
  const faults: AccountFault[] = [];
  const fault = (field: AccountFault["field"], detail: string | null) => {
    if (detail !== null) faults.push({ field, detail });
  };
  if (api_key !== undefined) {
    fault("api_key", textFault(rules.secrets.api_key, api_key) ?? modeFault(rules, api_key, mode));
  }
  if (webhook_secret != null) fault("webhook_secret", textFault(rules.secrets.webhook_secret, webhook_secret));
  if (publishable_key != null) {
    const own = mode ?? (api_key === undefined ? null : rules.modeOf(api_key));
    fault(
      "publishable_key",
      textFault(rules.publishableKey, publishable_key) ?? modeFault(rules, publishable_key, own),
    );
  }
  if (api_url != null) fault("api_url", urlFault(api_url, allowsOwnUrls));
  return faults;
}

function textFault(rule: SecretRule | null | undefined, text: string): string | null {
  if (!rule) return "The provider's accounts have none";
  const parts = rule.isList ? text.split(",") : [text];
  return parts.every((part) => rule.pattern.test(part)) ? null : `Must be as in ${shape(rule.example)}`;
}

/** An example without what would make it a secret. */
const shape = (example: string) => `${hintOf(example).split("…")[0] ?? ""}…`;

function modeFault({ modeOf }: AccountRules, key: string, mode: AccountMode | null): string | null {
  const own = modeOf(key);
  if (own === null) return "Must say whether it is of test or of live mode";
  return mode === null || own === mode ? null : `Must be a key of ${mode} mode, as the account's is`;
}

function urlFault(text: string, isAllowed: boolean): string | null {
  if (!isAllowed) return "Must be left out: it is for a service on one's own machine";
  const url = URL.canParse(text) ? new URL(text) : null;
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href;
  return isOrigin && LOOPBACK.test(url.hostname)
    ? null
    : "Must be the http or https URL of a port of this machine, without a path, such as http://127.0.0.1:12111";
}

const SHOWN_CHARACTERS = 4;

/** What may be shown of a key: its prefix, and its last four characters. */
export function hintOf(key: string): string {
  const [prefix = ""] = /^(?:[a-z]{2,8}_)?(?:(?:test|live)_)?/.exec(key) ?? [];
  return `${prefix}…${key.slice(Math.max(prefix.length, key.length - SHOWN_CHARACTERS))}`;
}
