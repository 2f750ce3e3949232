import type { Principal } from "./scopes";
import type { Database } from "./storage/database";

declare global {
  // What Env extends, here and in cloudflare:workers.
  interface __BaseEnv_Env {
    /** Secrets, and so unknown to wrangler.toml: the first administrator's key; see auth/secret-keys.ts. */
    readonly ADMIN_KEY?: string;
    readonly SECRETS_KEYS?: string;
  }
}

/** What the context of every request carries. */
export interface App {
  Bindings: Env;
  Variables: {
    /** The caller's `X-Request-Id`, or one made for the request. It names, and proves nothing. */
    requestId: string;
    /** Made for each request and never taken from it: what a request has committed is recognised by it. */
    commitId: string;
    db: Database;
    /** Set once the request's endpoint has let it in. */
    principal: Principal;
    /** Set once the request's key was looked up, and not only remembered. */
    keyLookedUp: boolean | undefined;
    /** The path template of the endpoint that answers. */
    route: string;
  };
}

/**
 * What stands for a merchant's id where the administrator's secret acts, which is no merchant's: no merchant has it, so
 * that it owns nothing, and its idempotency keys are its own.
 */
export const ADMINISTRATOR_MERCHANT = 0;

/** Who changes something, in which request, and when: what every event keeps of its cause. */
export interface Origin {
  /** The merchant of the key that acts, or ADMINISTRATOR_MERCHANT. */
  readonly merchantId: number;
  /** The public id of the key that acts; null where none was asked for. */
  readonly keyId: string | null;
  /** What the caller knows the request by. */
  readonly requestId: string;
  /** Made by the service for this request alone: its own commit is recognised by it. */
  readonly commitId: string;
  /** In milliseconds. */
  readonly now: number;
}
