/**
 * An `_id` on its way to people. ObjectIds, UUIDs, numbers and dates say nothing of a person and are shown; a text or
 * a document is a field value: in clear on a terminal, as its shape everywhere else.
 */
import { toExtendedJson, typeName } from '../kernel/values.js';
import { render } from './render-value.js';

const PLAIN_TYPES = new Set([
  'objectId',
  'int32',
  'int64',
  'double',
  'decimal128',
  'binary',
  'date',
  'timestamp',
  'null',
  'minKey',
  'maxKey',
]);

export class ShownId {
  readonly type: string;

  constructor(
    /** The `_id` itself. */
    readonly value: unknown,
  ) {
    this.type = typeName(value);
  }

  get #isPlain(): boolean {
    return PLAIN_TYPES.has(this.type);
  }

  /** For a terminal (`clear`) or for a pipe, a file, a log. */
  text(clear: boolean): string {
    if (this.type === 'objectId') return `ObjectId("${String(this.value)}")`;
    if (this.type === 'binary') return String(this.value);
    return render(this.value, clear || this.#isPlain);
  }

  /** Extended JSON, or type and shape of what must not be shown. */
  toJSON(): unknown {
    return this.#isPlain ? toExtendedJson(this.value) : { type: this.type, shape: render(this.value, false) };
  }
}
