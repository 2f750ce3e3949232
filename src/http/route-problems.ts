/** The kinds of problems that all routes of a sort may answer, beside those of their own. */
import type { ProblemKind } from "./problem-kinds";

/** What every route that changes something, and reads a body, may answer. */
export const CHANGE_PROBLEMS = [
  "invalid_json",
  "body_timeout",
  "unsupported_media_type",
  "validation_failed",
  "storage_full",
] as const satisfies readonly ProblemKind[];

/** What every route with parameters in its path or query may answer. */
export const PARAMETER_PROBLEMS = ["invalid_url", "validation_failed"] as const satisfies readonly ProblemKind[];

/** What every route that anybody may ask may answer. */
export const PUBLIC_PROBLEMS = [
  "invalid_host",
  "host_not_allowed",
  "body_too_large",
  "headers_too_large",
  "internal_error",
  "not_configured",
] as const satisfies readonly ProblemKind[];

/** What every route that requires a scope may answer. */
export const SCOPED_PROBLEMS = [
  "credentials_missing",
  "invalid_token",
  "insufficient_scope",
  "merchant_disabled",
  "invalid_host",
  "host_not_allowed",
  "body_too_large",
  "rate_limited",
  "headers_too_large",
  "internal_error",
  "not_configured",
  "unavailable",
] as const satisfies readonly ProblemKind[];
