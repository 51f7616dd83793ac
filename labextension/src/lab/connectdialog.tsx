/** The form for a scheduler that runs somewhere else: its address, its token, and what to call it. */
import { Dialog } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { ClusterInfo } from '../protocol/snapshots';
import type { Remote } from './rest';
import { allow, Field } from './startdialog';
import { checkAddress } from './startform';
import type { ICore } from './tokens';

const EMPTY: Remote = { address: '', token: '', name: '', tls_ca: '' };

interface FormProps {
  initial: Remote;
  trouble: string;
  changed(remote: Remote): void;
}

function Form({ initial, trouble, changed }: FormProps): React.ReactElement {
  const [remote, setRemote] = React.useState(initial);
  React.useEffect(() => changed(remote), [remote]);
  const set = (name: keyof Remote, value: string): void => setRemote(old => ({ ...old, [name]: value }));
  const wrong = remote.address.trim() === '' ? '' : checkAddress(remote.address);
  return (
    <div className="jf-form" data-lm-suppress-shortcuts="true">
      {trouble && (
        <p className="jf-form-trouble" role="alert">
          {trouble}
        </p>
      )}
      <Field label="Address" error={wrong || undefined} hint="As the scheduler prints it when it starts.">
        <input
          value={remote.address}
          placeholder="tls://10.0.0.1:40123"
          onChange={event => set('address', event.target.value)}
          autoComplete="off"
          spellCheck={false}
        />
      </Field>
      <Field label="Token">
        <input type="password" value={remote.token} onChange={event => set('token', event.target.value)} autoComplete="off" />
      </Field>
      <div className="jf-form-row">
        <Field label="Name">
          <input
            value={remote.name ?? ''}
            placeholder="its own"
            onChange={event => set('name', event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </Field>
        <Field label="Certificate" hint="A file on the Jupyter server, for tls.">
          <input
            value={remote.tls_ca ?? ''}
            placeholder="cert.pem"
            onChange={event => set('tls_ca', event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </Field>
      </div>
    </div>
  );
}

class FormWidget extends ReactWidget implements Dialog.IBodyWidget<Remote> {
  private remote: Remote;
  onChange: () => void = () => undefined;

  constructor(
    initial: Remote,
    private readonly trouble: string,
  ) {
    super();
    this.remote = initial;
  }

  getValue(): Remote {
    return this.remote;
  }

  protected override render(): React.ReactElement {
    const changed = (remote: Remote): void => {
      this.remote = remote;
      this.onChange();
    };
    return <Form initial={this.remote} trouble={this.trouble} changed={changed} />;
  }
}

/** Ask for a scheduler until one can be reached, or the user thinks better of it (null). */
export async function askConnection(core: ICore): Promise<ClusterInfo | null> {
  let remote = EMPTY;
  let trouble = '';
  for (;;) {
    const body = new FormWidget(remote, trouble);
    const dialog = new Dialog<Remote>({
      title: 'Connect to a scheduler',
      body,
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Connect' })],
      focusNodeSelector: '.jf-form input',
    });
    dialog.addClass('jf-dialog');
    body.onChange = () => allow(dialog, checkAddress(body.getValue().address) === '' && body.getValue().token.trim() !== '');
    const { button, value } = await dialog.launch();
    if (!button.accept || !value || checkAddress(value.address) !== '') {
      return null;
    }
    remote = value;
    try {
      const wanted = Object.entries(value).map(([name, text]) => [name, (text ?? '').trim()] as const);
      const cluster = await core.rest.connect(Object.fromEntries(wanted.filter(([, text]) => text !== '')) as unknown as Remote);
      core.clusters.choose(cluster.id);
      return cluster;
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
    }
  }
}
