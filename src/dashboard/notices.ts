/** What a page says after a form has done something. The address names the text, so that nobody else's can stand there. */
const NOTICES = {
  signed_out: "You have signed out.",
  delivery_retried: "It is sent again now.",
  endpoint_updated: "The endpoint is changed.",
  endpoint_enabled: "The endpoint is enabled. To send what it missed, replay that time.",
  endpoint_disabled: "The endpoint is disabled. Nothing is sent to it.",
  endpoint_deleted: "The endpoint is deleted.",
  account_added: "The account is added: the provider takes its key.",
  account_changed: "The account is changed.",
  account_default: "It is the default account now.",
  account_not_default: "It is no longer the default account. Payments that name no provider settle at once.",
  account_disabled: "The account is disabled.",
  account_enabled: "The account is enabled.",
  account_accepted: "The provider takes the key.",
  account_refused: "The provider does not take the key.",
  reconciliation_started: "The account is being reconciled. What differs appears among the items to look at.",
  item_resolved: "The item is resolved.",
  item_was_resolved: "Somebody has resolved it already.",
  key_renamed: "The key has its new name.",
  key_revoked: "The key is revoked, and with it what it has created.",
  merchant_created: "The merchant is created. Give it an API key next.",
  merchant_renamed: "The merchant has its new name.",
  merchant_disabled: "The merchant is disabled.",
  merchant_enabled: "The merchant is enabled.",
  payment_confirmed: "The payment is confirmed.",
  payment_authorized: "The money is held. Capture the payment to take it.",
  payment_captured: "The money is captured.",
  payment_cancelled: "The payment is cancelled.",
  payment_failed: "The payment has been ended as failed.",
  payment_edited: "The payment is changed.",
  payment_synced: "The provider was asked. This is what it says.",
  refund_succeeded: "The money is given back.",
  refund_undecided: "The refund is asked for. The provider has still to decide; this page follows it.",
  action_undecided: "It is asked for. The payer or the provider has still to decide; this page follows it.",
} as const;

export type NoticeName = keyof typeof NOTICES;

/** The text of a notice; null where there is none of the name. */
export function noticeOf(name: string | null): string | null {
  return name !== null && Object.hasOwn(NOTICES, name) ? NOTICES[name as NoticeName] : null;
}
