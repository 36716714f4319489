/** The mark of a locked document (lock-first.ts), and what a document and a pipeline are without it. */
import type { Document } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { type StoredDocument, slice, storedDocument } from '../domain/stored-document.js';
import { assemble } from '../kernel/raw-bson.js';

export const MARK = '__godwit_lock';

function unmarked(document: StoredDocument): StoredDocument {
  if (!document.fields.some(({ name }) => name === MARK)) return document;
  return storedDocument(
    assemble(document.fields.filter(({ name }) => name !== MARK).map((field) => slice(document, field))),
  );
}

/** The batch as it is without the mark. */
export const withoutMark = (read: ReadBatch): ReadBatch => ({ ...read, documents: read.documents.map(unmarked) });

/** The stages of a pipeline over documents that may be marked: none of them must see the mark. */
export const pastMark = (stages: readonly Document[], isMarked: boolean): readonly Document[] =>
  isMarked ? [{ $unset: MARK }, ...stages] : stages;
