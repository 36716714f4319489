/** The mark of a locked document (lock-first.ts), and what a document and a pipeline are without it. */
import type { Document } from 'mongodb';
import type { ReadBatch } from '../domain/batch.js';
import { withoutField } from '../domain/stored-document.js';

export const MARK = '__godwit_lock';

/** The batch as it is without the mark. */
export const withoutMark = (read: ReadBatch): ReadBatch => ({
  ...read,
  documents: read.documents.map((document) => withoutField(document, MARK)),
});

/** The stages of a pipeline over documents that may be marked: none of them must see the mark. */
export const pastMark = (stages: readonly Document[], isMarked: boolean): readonly Document[] =>
  isMarked ? [{ $unset: MARK }, ...stages] : stages;
