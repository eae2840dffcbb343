/** Claims that say who somebody is beyond `sub`: a token with one of them never travels in `_meta` (contract, section 6). */
export const PERSONAL_CLAIMS: readonly string[] = [
  "email",
  "name",
  "preferred_username",
  "given_name",
  "family_name",
  "phone_number",
  "address",
  "picture",
  "groups",
  "roles",
];
