import { defineMigration, transform } from 'godwit';
import { type Customer, type LegacyCustomer, problemOf, toCustomer } from '../lib/customer.js';

export default defineMigration({
  description: 'Customers get one shape: clean e-mail and phone, real dates, a name in two parts, an address in four',
  author: 'Ana Lima <ana@example.test>',
  pr: 'https://git.example.test/crm/pull/412',
  steps: [
    transform<LegacyCustomer, Customer>({
      collection: 'customers',
      filter: { schemaVersion: { $ne: 2 } },
      up(doc, { keep, skip, reject }) {
        if (doc.schemaVersion === 2) return skip('in the new shape already');
        const problem = problemOf(doc);
        if (problem) return reject(problem);
        const customer = toCustomer(doc);
        return 'balance' in doc ? { ...customer, credit: keep('balance') } : customer;
      },
      // Nobody has a fax; the old names live on in `name`, trimmed and split.
      drops: ['legacyFax', 'fullName', 'firstName', 'lastName'],
      // No `down`: the audit rolls back exactly, and a phone's old spelling can't be computed from its digits.
    }),
  ],
  async verify(ctx) {
    await ctx.expectNone('customers', { schemaVersion: 2, legacyFax: { $exists: true } });
    await ctx.expectNone('customers', { schemaVersion: 2, email: null, phone: null });
    await ctx.expectNone('customers', { schemaVersion: 2, active: { $not: { $type: 'bool' } } });
  },
});
