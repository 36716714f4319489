import { defineMigration, transform } from 'godwit';

export default defineMigration({
  description: 'E-mails are lower-case, names are two fields',
  steps: [
    transform({
      collection: 'contacts',
      all: true,
      up({ fullName, email, ...rest }) {
        if (rest.v === 2) return { ...rest, email };
        const [first, ...others] = fullName.split(' ');
        return { ...rest, email: email.trim().toLowerCase(), v: 2, name: { first, last: others.join(' ') } };
      },
    }),
  ],
});
