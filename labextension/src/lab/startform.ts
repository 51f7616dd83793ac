/**
 * What the form for a new cluster holds, and what is sent of it. The fields are those that the server names for each type of cluster; a field left
 * empty is not sent, so it is up to the server.
 */
import type { ClusterOption, ClusterType, ClusterWish } from './rest';

export interface StartForm {
  type: string;
  name: string;
  environment: string;
  /** By option; what was typed for one type stays when another one is looked at. */
  values: Readonly<Record<string, string | boolean>>;
}

/** What is wrong, by the option's name or `name`. */
export type FormErrors = Readonly<Record<string, string>>;

const NAME = /^[\p{L}\p{N}][\p{L}\p{N}_ .+@-]{0,79}$/u;
const SIZE = /^(auto|none|\d*\.?\d+\s*([kmgt]i?)?b?)$/i;

/** What is wrong; nothing when it can be sent. `taken`: names of clusters that run. */
export function check(form: StartForm, type: ClusterType | undefined, taken: ReadonlySet<string>): FormErrors {
  const errors: Record<string, string> = {};
  const name = form.name.trim();
  if (name !== '' && !NAME.test(name)) {
    errors.name = 'It begins with a letter or digit, and has letters, digits, spaces and . + @ _ - in it.';
  } else if (taken.has(name)) {
    errors.name = 'A cluster of this name runs already.';
  }
  for (const option of type?.options ?? []) {
    const value = form.values[option.name] ?? '';
    const text = typeof value === 'string' ? value.trim() : '';
    if (option.kind === 'integer' && text !== '' && !(/^\d{1,6}$/.test(text) && Number(text) >= (option.minimum ?? 0))) {
      errors[option.name] = `A whole number, at least ${option.minimum ?? 0}.`;
    } else if (option.kind === 'size' && text !== '' && !SIZE.test(text)) {
      errors[option.name] = 'A size such as 4GB or 512 MiB; auto; or none.';
    } else if (option.required && text === '') {
      errors[option.name] = 'This is needed.';
    }
  }
  return errors;
}

/** What is sent. */
export function wishOf(form: StartForm, type: ClusterType): ClusterWish {
  const wish: ClusterWish = { type: type.name };
  const inner: Record<string, unknown> = {};
  if (form.name.trim() !== '') {
    wish.name = form.name.trim();
  }
  if (type.environment && form.environment !== '') {
    wish.environment = form.environment;
  }
  for (const option of type.options) {
    const value = read(option, form.values[option.name]);
    if (value !== undefined) {
      (option.inner ? inner : wish)[option.name] = value;
    }
  }
  if (Object.keys(inner).length > 0) {
    wish.options = inner;
  }
  return wish;
}

function read(option: ClusterOption, value: string | boolean | undefined): unknown {
  if (typeof value === 'boolean') {
    return value || option.default === true ? value : undefined;
  }
  const text = value?.trim() ?? '';
  return text === '' ? undefined : option.kind === 'integer' ? Number(text) : text;
}

/** The form for a wish, or, where it says nothing, for the server's defaults. */
export function formOf(wish: Partial<ClusterWish>, types: readonly ClusterType[]): StartForm {
  const values: Record<string, string | boolean> = {};
  for (const option of types.flatMap(type => type.options)) {
    const value = (option.inner ? wish.options : wish)?.[option.name] ?? option.default;
    if (typeof value === 'boolean') {
      values[option.name] = value;
    } else if (value !== undefined && value !== null) {
      values[option.name] = Array.isArray(value) ? value.join(' ') : String(value);
    }
  }
  const type = types.find(each => each.name === wish.type) ?? types[0];
  return { type: type?.name ?? '', name: wish.name ?? '', environment: wish.environment ?? '', values };
}

/** What is wrong with an address, or ''. */
export function checkAddress(address: string): string {
  return /^(tcp|tls):\/\/\S+:\d{1,5}$/.test(address.trim()) ? '' : 'An address such as tls://10.0.0.1:40123.';
}
