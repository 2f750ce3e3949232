/** What a page says after a form has done something. The address names the text, so that nobody else's can stand there. */
const NOTICES = {
  signed_out: "You have signed out.",
  delivery_retried: "It is sent again now.",
  endpoint_updated: "The endpoint is changed.",
  endpoint_enabled: "The endpoint is enabled. To send what it missed, replay that time.",
  endpoint_disabled: "The endpoint is disabled. Nothing is sent to it.",
  endpoint_deleted: "The endpoint is deleted.",
  key_renamed: "The key has its new name.",
  key_revoked: "The key is revoked, and with it what it has created.",
  merchant_created: "The merchant is created. Give it an API key next.",
  merchant_renamed: "The merchant has its new name.",
  merchant_disabled: "The merchant is disabled.",
  merchant_enabled: "The merchant is enabled.",
} as const;

export type NoticeName = keyof typeof NOTICES;

/** The text of a notice; null where there is none of the name. */
export function noticeOf(name: string | null): string | null {
  return name !== null && Object.hasOwn(NOTICES, name) ? NOTICES[name as NoticeName] : null;
}
