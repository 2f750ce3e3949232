/** A form that does something: a page of its own, which dashboard.js shows in a dialog. */
import type { Child } from "hono/jsx";
import type { Problem } from "./api";
import { CsrfField } from "./layout";
import { Refusal } from "./view";
import type { Visit } from "./visit";

interface ActionFormProps {
  readonly visit: Visit;
  readonly title: string;
  /** Where it is sent. */
  readonly action: string;
  /** Where one goes who does not want it after all. */
  readonly back: string;
  /** What its button says: what will happen, with its amount. */
  readonly submit: string;
  /** Whether it cannot be undone. */
  readonly isDangerous?: boolean;
  /** Names the one success that is meant; a form that was sent twice brings it twice. */
  readonly idempotencyKey?: string;
  readonly refused?: Problem | null;
  readonly children?: Child;
}

export function ActionForm(props: ActionFormProps) {
  const { visit, title, action, back, submit, isDangerous = false, idempotencyKey, refused = null, children } = props;
  return (
    <form class="card stacked action" method="post" action={action} data-dialog aria-labelledby="action-title">
      <h1 id="action-title">{title}</h1>
      <CsrfField visit={visit} />
      {idempotencyKey !== undefined && <input type="hidden" name="idempotency_key" value={idempotencyKey} />}
      <Refusal problem={refused} />
      {children}
      <div class="actions">
        <button type="submit" class={isDangerous ? "danger" : undefined}>
          {submit}
        </button>
        <a class="button quiet" href={back} data-cancel>
          Cancel
        </a>
      </div>
    </form>
  );
}

/** The idempotency key that a form brings, or a new one for a form that is shown for the first time. */
export function idempotencyKeyOf(form: URLSearchParams): string {
  return form.get("idempotency_key") || crypto.randomUUID();
}

/** A text that is shown this once, with a button that copies it. */
export function ShownOnce({ label, text }: { label: string; text: string }) {
  return (
    <div class="shown-once">
      <label>
        {label}
        <input readonly value={text} autocomplete="off" spellcheck={false} />
      </label>
      <button type="button" class="quiet" data-copy={text}>
        Copy
      </button>
    </div>
  );
}
