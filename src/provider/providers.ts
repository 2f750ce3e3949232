/** The providers: which there are, how each is asked, and the way to the account of a payment. */
import { sandboxSecrets } from "../auth/secret-keys";
import { mollie } from "./mollie/mollie";
import { SANDBOX_ORIGIN, sandbox } from "./sandbox";
import type { AccountAdapter, Adapter, Connection } from "./seam";
import { stripe } from "./stripe/stripe";

/** The providers that a merchant has accounts at. */
const ACCOUNT_ADAPTERS = { stripe, mollie } satisfies Readonly<Record<string, AccountAdapter>>;

export type AccountProviderName = keyof typeof ACCOUNT_ADAPTERS;
export const ACCOUNT_PROVIDERS: Readonly<Record<string, AccountAdapter>> = ACCOUNT_ADAPTERS;
export const ACCOUNT_PROVIDER_NAMES: readonly [AccountProviderName, ...AccountProviderName[]] = ["stripe", "mollie"];

/** Every provider with its adapter; `internal` has none, for it settles at once, in the commit itself. */
const ADAPTERS = { internal: null, sandbox, ...ACCOUNT_ADAPTERS } satisfies Readonly<Record<string, Adapter | null>>;

export type ProviderName = keyof typeof ADAPTERS;
export const PROVIDER_NAMES: readonly [ProviderName, ...ProviderName[]] = [
  "internal",
  "sandbox",
  ...ACCOUNT_PROVIDER_NAMES,
];

export const PROVIDERS: Readonly<Record<ProviderName, Adapter | null>> = ADAPTERS;

export const isProvider = (name: string): name is ProviderName => Object.hasOwn(PROVIDERS, name);

/** Whether the sandbox may be used, as the operator has set it. */
export function allowsSandbox({ SANDBOX }: { SANDBOX: string }): boolean {
  return SANDBOX === "yes";
}

/** The name of the sandbox account that every merchant has. */
function sandboxAccountId(merchantId: number): string {
  return `sandbox_${merchantId}`;
}

/** The merchant of a sandbox account; null for any other name. */
export function readSandboxAccountId(accountId: string): number | null {
  const [, digits = ""] = /^sandbox_([1-9]\d{0,15})$/.exec(accountId) ?? [];
  return Number.isSafeInteger(Number(digits)) && digits !== "" ? Number(digits) : null;
}

/** What the way to the sandbox needs of the Worker's environment. */
interface SandboxEnvironment {
  readonly AUTH_MODE: string;
  readonly SECRETS_KEYS?: string;
  readonly SANDBOX_LEDGER: { getByName(name: string): { fetch(request: Request): Promise<Response> } };
}

/**
 * The way to the sandbox account of a merchant.
 *
 * @param origin of the service as the caller reaches it, where the payer finds the hosted page; null where nobody knows it:
 *   the account remembers the last one
 */
export async function sandboxConnection(
  env: SandboxEnvironment,
  merchantId: number,
  origin: string | null,
): Promise<Connection> {
  const accountId = sandboxAccountId(merchantId);
  const secrets = await sandboxSecrets(env, accountId);
  return {
    accountId,
    merchantId,
    apiOrigin: SANDBOX_ORIGIN,
    secrets: Object.fromEntries(secrets.map((secret, age) => [`notifications_${age}`, secret])),
    fetch: async (request) => {
      if (origin !== null) request.headers.set("Sandbox-Page-Origin", origin);
      // Each time anew: an object that was out of reach is found again under its name alone.
      const account = env.SANDBOX_LEDGER.getByName(String(merchantId));
      const response = await account.fetch(request);
      // The sandbox has no network of its own to lose an answer in: this is it.
      if (response.headers.get("Sandbox-Connection") === "lost") throw new Error("Network connection lost.");
      return response;
    },
  };
}
