/** As an update pipeline, which changes nothing when it meets its own result. */
export const PIPELINE = [
  {
    $set: {
      email: { $toLower: { $trim: { input: '$email' } } },
      v: 2,
      name: {
        $cond: [
          { $eq: [{ $type: '$fullName' }, 'missing'] },
          '$name',
          {
            first: { $first: { $split: ['$fullName', ' '] } },
            last: {
              $reduce: {
                input: { $slice: [{ $split: ['$fullName', ' '] }, 1, 99] },
                initialValue: '',
                in: { $cond: [{ $eq: ['$$value', ''] }, '$$this', { $concat: ['$$value', ' ', '$$this'] }] },
              },
            },
          },
        ],
      },
    },
  },
  { $unset: 'fullName' },
];
