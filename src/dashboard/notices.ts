/** What a page says after a form has done something. The address names the text, so that nobody else's can stand there. */
const NOTICES = {
  signed_out: "You have signed out.",
} as const;

export type NoticeName = keyof typeof NOTICES;

/** The text of a notice; null where there is none of the name. */
export function noticeOf(name: string | null): string | null {
  return name !== null && Object.hasOwn(NOTICES, name) ? NOTICES[name as NoticeName] : null;
}
