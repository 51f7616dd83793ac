/** The form for a new cluster, as a dialog. What was chosen last stands in it. */
import { Dialog, showErrorMessage } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { ClusterOption, ClusterType, ClusterWish, Environment } from './rest';
import { check, formOf, wishOf, type FormErrors, type StartForm } from './startform';
import type { ICore } from './tokens';

interface FormProps {
  initial: StartForm;
  types: readonly ClusterType[];
  environments: readonly Environment[];
  taken: ReadonlySet<string>;
  trouble: string;
  changed(form: StartForm, errors: FormErrors): void;
}

function Form({ initial, types, environments, taken, trouble, changed }: FormProps): React.ReactElement {
  const [form, setForm] = React.useState(initial);
  const [touched, setTouched] = React.useState<ReadonlySet<string>>(new Set(trouble ? Object.keys(initial.values) : []));
  const type = types.find(one => one.name === form.type);
  const errors = check(form, type, taken);
  React.useEffect(() => changed(form, errors), [form]);
  const set = (change: Partial<StartForm>): void => setForm(old => ({ ...old, ...change }));
  const fill = (name: string, value: string | boolean): void => {
    setTouched(new Set([...touched, name]));
    setForm(old => ({ ...old, values: { ...old.values, [name]: value } }));
  };
  const options = type?.options ?? [];
  const short = options.filter(option => option.kind === 'integer' || option.kind === 'size');
  const long = options.filter(option => option.kind === 'text');
  const flags = options.filter(option => option.kind === 'flag');
  const input = (option: ClusterOption): React.ReactElement => (
    <Field
      key={option.name}
      label={option.title}
      error={touched.has(option.name) ? errors[option.name] : undefined}
      hint={option.kind === 'text' ? option.help : undefined}
      title={option.help}
    >
      <input
        name={option.name}
        value={String(form.values[option.name] ?? '')}
        placeholder={option.suggested}
        inputMode={option.kind === 'integer' ? 'numeric' : undefined}
        required={option.required}
        onChange={event => fill(option.name, event.target.value)}
        autoComplete="off"
        spellCheck={false}
      />
    </Field>
  );

  return (
    <div className="jf-form" data-lm-suppress-shortcuts="true">
      {trouble && (
        <p className="jf-form-trouble" role="alert">
          {trouble}
        </p>
      )}
      {types.length > 1 && (
        <div className="jf-form-types" role="radiogroup" aria-label="Where">
          {types.map(one => (
            <label key={one.name} className={one === type ? 'jf-mod-chosen' : ''}>
              <input type="radio" name="type" value={one.name} checked={one === type} onChange={() => set({ type: one.name })} />
              {one.title}
            </label>
          ))}
        </div>
      )}
      <Field label="Name" error={errors.name}>
        <input
          name="name"
          value={form.name}
          placeholder="chosen for you"
          onChange={event => set({ name: event.target.value })}
          autoComplete="off"
          spellCheck={false}
        />
      </Field>
      {long.map(input)}
      <div className="jf-form-row">{short.map(input)}</div>
      {type?.environment && environments.length > 0 && (
        <Field label="Python" hint={environments.find(one => one.name === form.environment)?.python ?? environments[0].python}>
          <select name="environment" value={form.environment} onChange={event => set({ environment: event.target.value })}>
            {environments.map(one => (
              <option key={one.name} value={one.default ? '' : one.name}>
                {one.title}
              </option>
            ))}
          </select>
        </Field>
      )}
      {flags.map(option => (
        <label key={option.name} className="jf-form-check">
          <input
            type="checkbox"
            name={option.name}
            checked={form.values[option.name] === true}
            onChange={event => fill(option.name, event.target.checked)}
          />
          <span>
            {option.title}
            {option.help && <small>{option.help}</small>}
          </span>
        </label>
      ))}
    </div>
  );
}

interface FieldProps {
  label: string;
  error?: string;
  hint?: string;
  title?: string;
  children: React.ReactElement;
}

/** A label, a control below it, and what is wrong with it, or else a hint. */
export function Field({ label, error, hint, title, children }: FieldProps): React.ReactElement {
  const id = React.useId();
  const attributes = { className: 'jf-input', 'aria-invalid': error ? true : undefined, 'aria-describedby': error || hint ? id : undefined };
  return (
    <label className={`jf-form-field${error ? ' jf-mod-wrong' : ''}`} title={title}>
      <span>{label}</span>
      {React.cloneElement(children, attributes)}
      {(error || hint) && <small id={id}>{error ?? hint}</small>}
    </label>
  );
}

class FormWidget extends ReactWidget implements Dialog.IBodyWidget<StartForm> {
  private form: StartForm;
  onChange: (errors: FormErrors) => void = () => undefined;

  constructor(private readonly props: Omit<FormProps, 'changed'>) {
    super();
    this.form = props.initial;
  }

  getValue(): StartForm {
    return this.form;
  }

  protected override render(): React.ReactElement {
    const changed = (form: StartForm, errors: FormErrors): void => {
      this.form = form;
      this.onChange(errors);
    };
    return <Form {...this.props} changed={changed} />;
  }
}

/** Ask for a cluster to start. Resolves with null when the user thinks better of it. `trouble`: why the wish could not be met. */
export async function askCluster(core: ICore, wish?: Partial<ClusterWish>, trouble = ''): Promise<ClusterWish | null> {
  const [types, environments] = await Promise.all([core.rest.types(), core.rest.environments()]);
  if (types.length === 0) {
    await showErrorMessage('No cluster can be started here', 'This Jupyter server does not start clusters. Those that notebooks start are listed.');
    return null;
  }
  const taken = new Set(core.clusters.list.filter(cluster => cluster.address !== '').map(cluster => cluster.name));
  const body = new FormWidget({ initial: formOf(wish ?? core.settings.get('startWith'), types), types, environments, taken, trouble });
  const dialog = new Dialog<StartForm>({
    title: 'Start a cluster',
    body,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Start' })],
    focusNodeSelector: '.jf-form input[name="name"]',
  });
  dialog.addClass('jf-dialog');
  body.onChange = errors => allow(dialog, Object.keys(errors).length === 0);
  const { button, value } = await dialog.launch();
  const type = types.find(each => each.name === value?.type);
  if (!button.accept || !value || !type || Object.keys(check(value, type, taken)).length > 0) {
    return null;
  }
  const wanted = wishOf(value, type);
  await core.settings.set('startWith', { ...wanted, name: undefined });
  return wanted;
}

/** Whether the dialog may be accepted. */
export function allow(dialog: Dialog<unknown>, well: boolean): void {
  const button = dialog.node.querySelector<HTMLButtonElement>('.jp-Dialog-footer .jp-mod-accept');
  if (button) {
    button.disabled = !well;
  }
}
