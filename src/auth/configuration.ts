/** Whether the service is configured so that it may answer. */
import { readMaxBytes } from "../storage/capacity";
import { administratorId } from "./api-key";
import { RATE_LIMITS, readLimit } from "./rate-limits";
import { readSecretsKeys, secretsKeys } from "./secret-keys";

/** What was found of each set of bindings, of which an isolate has one. */
const checked = new WeakMap<Env, string | null>();

/** Why the service may not answer as it is configured, or null. */
export function misconfiguration(env: Env): string | null {
  const known = checked.get(env);
  if (known !== undefined) return known;
  const found = check(env);
  checked.set(env, found);
  return found;
}

function check(env: Env): string | null {
  const { AUTH_MODE, ADMIN_KEY, SANDBOX } = env;
  if (AUTH_MODE !== "open" && AUTH_MODE !== "required") {
    return "Set AUTH_MODE to required (or, on your own machine only, to open)";
  }
  for (const name of RATE_LIMITS) {
    if (!env[name]) return `Bind the rate limit ${name}, as wrangler.toml does under [[ratelimits]]`;
    if (readLimit(env[`${name}_LIMIT`]) === null) {
      return `Set the variable ${name}_LIMIT to the quota of the rate limit ${name}, as requests/seconds`;
    }
  }
  if (readMaxBytes(env.DATABASE_MAX_BYTES) === null) {
    return "Set the variable DATABASE_MAX_BYTES to what the D1 database may hold, in bytes";
  }
  if (SANDBOX !== "yes" && SANDBOX !== "no") {
    return "Set the variable SANDBOX to no (or, where payments that move no money may be made, to yes)";
  }
  if (AUTH_MODE === "required") {
    if (!ADMIN_KEY) return "Set the secret ADMIN_KEY to a key that `npm run key` makes";
    if (administratorId(ADMIN_KEY) === null) {
      return "The secret ADMIN_KEY is not a key; set one that `npm run key` makes";
    }
    if (!env.SECRETS_KEYS) return "Set the secret SECRETS_KEYS to what `npm run secrets-key` makes";
  }
  return readSecretsKeys(secretsKeys(env)) === null
    ? "The secret SECRETS_KEYS holds something else than keys; set what `npm run secrets-key` makes"
    : null;
}
