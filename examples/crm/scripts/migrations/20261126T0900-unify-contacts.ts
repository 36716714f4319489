import { defineMigration, merge, references, schema } from 'godwit';
import {
  type Client,
  type Contact,
  fromClient,
  fromCustomer,
  fromLead,
  type Lead,
  type ShopCustomer,
} from '../lib/contact.js';

export default defineMigration({
  description:
    'Customers, clients and leads become contacts, each person once, and everything that refers to them follows',
  author: 'Ana Lima <ana@example.test>',
  pr: 'https://git.example.test/crm/pull/431',
  steps: [
    schema.createCollection({ name: 'contacts' }),
    merge({
      into: 'contacts',
      // The first one named keeps its _id, and its fields where two differ.
      from: {
        customers: {
          // Money keeps its type.
          map: (customer, { keep }) => ({
            ...fromCustomer(customer as ShopCustomer),
            ...('balance' in customer ? { credit: keep('balance') } : {}),
          }),
        },
        clients: { map: (client) => fromClient(client as Client) },
        leads: { map: (lead) => fromLead(lead as Lead) },
      },
      // One person by e-mail or by phone: a lead with the phone of a client who has the e-mail of a customer is all three.
      identity: [({ email }) => email, ({ phone }) => phone],
      onConflict: {
        name: (a, b) => longer(a as Contact['name'], b as Contact['name']),
        firstSeenAt: (a, b) => ((a as Date) <= (b as Date) ? a : b),
      },
    }),
    references({ collection: 'invoices', path: 'client', from: 'clients', to: 'contacts' }),
    references({ collection: 'tasks', path: 'customers', from: 'customers', to: 'contacts' }),
    references({
      collection: 'notes',
      path: 'subject.id',
      typePath: 'subject.kind',
      from: { Customer: 'customers', Client: 'clients', Lead: 'leads' },
      to: 'contacts',
      typeTo: 'Contact',
    }),
    schema.createIndex({
      collection: 'contacts',
      key: { email: 1 },
      options: { unique: true, partialFilterExpression: { email: { $type: 'string' } } },
    }),
    schema.setValidator({
      collection: 'contacts',
      validator: { $or: [{ email: { $type: 'string' } }, { phone: { $type: 'string' } }] },
    }),
  ],
  async verify(ctx) {
    await ctx.expectNone('contacts', { email: { $exists: false }, phone: { $exists: false } });
    await ctx.expectNone('notes', { 'subject.kind': { $ne: 'Contact' } });
  },
});

/** The one that says more. */
function longer(a: Contact['name'], b: Contact['name']): Contact['name'] {
  const length = (name: Contact['name']): number => (name ? name.first.length + name.last.length : 0);
  return length(b) > length(a) ? b : a;
}
