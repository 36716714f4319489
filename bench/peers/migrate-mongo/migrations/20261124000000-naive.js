/** What most migrations look like: one document after the other. */
import { updateOf } from '../../work.mjs';

export const up = async (db) => {
  const contacts = db.collection('contacts');
  for await (const document of contacts.find()) await contacts.updateOne({ _id: document._id }, updateOf(document));
};

export const down = async () => undefined;
