/** What a key may be allowed to do. Routes, checks, the API document and the tests take their scopes from here. */
export const SCOPES = {
  "payments:read": "Read and find payments",
  "payments:write": "Create, confirm and fail payments",
  "refunds:write": "Refund payments",
  "events:read": "Read the events of payments",
  "webhooks:manage": "Manage webhook endpoints",
  "providers:manage": "Manage the merchant's accounts at providers, and their secrets",
  "keys:manage": "Manage the merchant's own API keys, and grant what the managing key has itself",
  "account:read": "Read the trail of changes of API keys, webhook endpoints and the merchant",
  admin: "Manage merchants and the API keys of every merchant, and grant every scope",
} as const;

export type Scope = keyof typeof SCOPES;
export const SCOPE_NAMES = Object.keys(SCOPES) as [Scope, ...Scope[]];

export function isScope(name: string): name is Scope {
  return Object.hasOwn(SCOPES, name);
}

/** In whose name a request is made, and what it may do. */
export interface Principal {
  readonly merchantId: number;
  /** The public id of the key; null for a request without a key in open mode. */
  readonly keyId: string | null;
  readonly scopes: ReadonlySet<Scope>;
  /** When the key ends, in milliseconds; null for never. */
  readonly expiresAt: number | null;
}
