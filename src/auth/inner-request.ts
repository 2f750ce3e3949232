/**
 * Requests that the service makes of its own API, in the name of somebody whom it has authorised already: the dashboard's.
 * Everything else about them is as it is for a request from outside: scopes, quotas of costly work, validation, idempotency.
 */
import type { Principal } from "../scopes";
import type { Database } from "../storage/database";

/** In whose name an inner request is made, and for which outer one. */
export interface InnerRequest {
  readonly principal: Principal;
  /** The outer request's way to D1, which counts what all its inner requests cost. */
  readonly db: Database;
  readonly requestId: string;
  /** Checks anew whether the principal may still ask, for an answer that takes its time; or the refusal. */
  readonly authorizeAgain: () => Promise<Principal | Response>;
}

/** By the request's identity, which nothing that comes from outside can have. */
const innerRequests = new WeakMap<Request, InnerRequest>();

/** Marks a request that this Worker is about to hand to its own app. */
export function markInner(request: Request, inner: InnerRequest): Request {
  innerRequests.set(request, inner);
  return request;
}

/** What is known of a request that the service makes itself; undefined for one from outside. */
export function innerRequestOf(request: Request): InnerRequest | undefined {
  return innerRequests.get(request);
}
