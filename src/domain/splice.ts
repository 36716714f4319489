/** A document put together from pieces of another one and from new elements. */
import { assemble, type RawField } from '../kernel/raw-bson.js';
import type { StoredDocument } from './stored-document.js';

/** A new document from fields of an old one, which are copied in as few pieces as there are, and new elements. */
export class Splice {
  readonly #parts: Uint8Array[] = [];
  #from = 0;
  #to = 0;

  constructor(private readonly document: StoredDocument) {}

  keep({ start, end }: RawField): void {
    if (start !== this.#to) this.#close();
    if (this.#from === this.#to) this.#from = start;
    this.#to = end;
  }

  put(element: Uint8Array): void {
    this.#close();
    this.#parts.push(element);
  }

  #close(): void {
    if (this.#from < this.#to) this.#parts.push(this.document.bytes.subarray(this.#from, this.#to));
    this.#from = this.#to = 0;
  }

  bytes(): Buffer {
    this.#close();
    return assemble(this.#parts);
  }
}
