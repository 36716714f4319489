/** What the application has been promised: every document as its acknowledged writes alone would have made it. */
import { Int32 } from 'bson';
import { bsonValue, type Fields, fieldsOf, get, keyOf, put } from './raw.js';
import { Teams } from './teams.js';

export interface ModelDocument {
  readonly key: string;
  /** Null: deleted. */
  fields: Fields | null;
  /** A write whose result nobody knows: nothing is said of the document's values any more. */
  isUncertain: boolean;
  isWritten: boolean;
  isInserted: boolean;
  /** When it was last given a whole shape (inserted, saved), acknowledged at this moment; 0: never. */
  shapedAt: number;
  /** When its insert was sent; 0: it was there. */
  readonly sentAt: number;
}

export class Model {
  readonly documents = new Map<string, ModelDocument>();
  readonly teams = new Teams();
  /** Longest time that one plain write took, in ms. */
  longestWaitMs = 0;
  writes = 0;

  constructor(initial: readonly Buffer[]) {
    for (const bytes of initial) {
      const fields = fieldsOf(bytes);
      this.documents.set(keyOf(fields), {
        ...{
          key: keyOf(fields),
          fields,
          isUncertain: false,
          isWritten: false,
          isInserted: false,
          shapedAt: 0,
          sentAt: 0,
        },
      });
    }
  }

  living(): ModelDocument[] {
    return [...this.documents.values()].filter(({ fields }) => fields !== null);
  }

  #write(document: ModelDocument, fields: Fields | null): void {
    document.fields = fields;
    document.isWritten = true;
    this.writes += 1;
  }

  incremented(document: ModelDocument): void {
    if (!document.fields) return;
    const n = get(document.fields, 'n')?.readInt32LE(1) ?? 0;
    this.#write(document, put(document.fields, 'n', bsonValue(new Int32(n + 1))));
  }

  edited(document: ModelDocument, text: string): void {
    if (document.fields) this.#write(document, put(document.fields, 'e', bsonValue(text)));
  }

  deleted(document: ModelDocument): void {
    this.#write(document, null);
  }

  saved(document: ModelDocument, fields: Fields): void {
    this.#write(document, fields);
    document.shapedAt = Date.now();
  }

  inserted(fields: Fields, sentAt: number, isUncertain = false): void {
    const key = keyOf(fields);
    const document = { key, fields, isUncertain, isWritten: true, isInserted: true, shapedAt: Date.now(), sentAt };
    this.documents.set(key, document);
    this.writes += 1;
  }

  /** A write began whose end is not known. */
  unknown(document: ModelDocument): void {
    document.isUncertain = true;
    document.isWritten = true;
  }
}
