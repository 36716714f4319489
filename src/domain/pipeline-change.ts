/**
 * One document before and after a pipeline, both as the server gave them. The `_id` stays, and stands first, whatever
 * the pipeline makes of it: so an update does it (MongoDB 6.0.5; pinned by test/integration/pipeline.test.ts).
 */
import { assemble, MAX_DOCUMENT_BYTES, type RawField, scanFields, sha256 } from '../kernel/raw-bson.js';
import { oddity } from './carried.js';
import { carriedChange } from './carried-change.js';
import { type Decision, fail, fieldChanges } from './change.js';
import { encodePatch } from './patch.js';
import { type StoredDocument, slice } from './stored-document.js';

const elementOf = (bytes: Buffer, { start, end }: RawField): Buffer => bytes.subarray(start, end);

/** The bytes that will be stored; null when the pipeline gives another `_id`. */
function storedResult(document: StoredDocument, result: Buffer): Buffer | null {
  const fields = scanFields(result);
  const at = fields.findIndex(({ name }) => name === '_id');
  const id = document.fields.find(({ name }) => name === '_id');
  if (!id) return null;
  const own = slice(document, id);
  const given = fields[at];
  if (given && !elementOf(result, given).equals(own)) return null;
  if (at === 0) return result;
  return assemble([own, ...fields.filter((_, index) => index !== at).map((field) => elementOf(result, field))]);
}

/** Decides what the pipeline's result for a document means. */
export function decideResult(document: StoredDocument, result: Buffer): Decision {
  const after = storedResult(document, result);
  if (!after) return fail(document, 'GODWIT_TRANSFORM_ID', 'wanted the same _id from the pipeline, found another');
  if (after.equals(document.bytes)) return { kind: 'unchanged', document };
  if (after.length > MAX_DOCUMENT_BYTES)
    return fail(document, 'GODWIT_TOO_LARGE', `wanted at most ${MAX_DOCUMENT_BYTES} bytes, found ${after.length}`);
  const stored = { bytes: after, fields: scanFields(after), key: document.key };
  const { touched, changed, unset } = fieldChanges(document, stored);
  const odd = oddity(document, touched) ?? oddity(stored, changed);
  if (odd) return fail(document, 'GODWIT_NOT_CARRIED', odd);
  const patch = encodePatch(
    changed.map((field) => elementOf(after, field)),
    unset,
  );
  return { kind: 'changed', change: carriedChange({ before: document, after, hash: sha256(after), patch, unset }) };
}
