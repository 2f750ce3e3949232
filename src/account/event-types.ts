/** The types of account events. */
export const ACCOUNT_EVENT_TYPES = [
  ...(["merchant.created", "merchant.renamed", "merchant.disabled", "merchant.enabled"] as const),
  ...(["api_key.created", "api_key.renamed", "api_key.revoked", "api_key.rolled"] as const),
  ...(["webhook_endpoint.created", "webhook_endpoint.updated", "webhook_endpoint.deleted"] as const),
  ...(["webhook_endpoint.rolled", "webhook_endpoint.disabled"] as const),
  ...(["provider_account.created", "provider_account.updated"] as const),
  ...(["reconciliation_item.resolved", "reconciliation_run.started"] as const),
] as const;
export type AccountEventType = (typeof ACCOUNT_EVENT_TYPES)[number];
