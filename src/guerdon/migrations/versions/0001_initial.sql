-- The first schema: tables, indexes, row-level security and what the application's role may do.

-- accruals (tenant)
CREATE TABLE accruals (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    earned_by TEXT NOT NULL,
    points BIGINT NOT NULL,
    reversed BIGINT DEFAULT '0' NOT NULL,
    reasons JSONB NOT NULL,
    delivery_id UUID,
    accrued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_accruals PRIMARY KEY (program_id, id),
    CONSTRAINT ck_accruals_points CHECK (points >= 0),
    CONSTRAINT ck_accruals_reversed CHECK (reversed between 0 and points)
);

CREATE INDEX ix_accruals_account ON accruals (program_id, account_id, id);

-- assets (platform)
CREATE TABLE assets (
    id UUID NOT NULL,
    symbol TEXT NOT NULL,
    decimals BIGINT NOT NULL,
    delivery TEXT NOT NULL,
    network TEXT,
    token_address TEXT,
    atomic_per_point NUMERIC(78, 0) DEFAULT '1' NOT NULL,
    mintable BOOLEAN NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_assets PRIMARY KEY (id),
    CONSTRAINT ck_assets_decimals CHECK (decimals between 0 and 36),
    CONSTRAINT ck_assets_atomic_per_point CHECK (atomic_per_point > 0),
    CONSTRAINT ck_assets_delivery CHECK (delivery in ('automatic', 'on_claim')),
    CONSTRAINT uq_assets_symbol UNIQUE (symbol)
);

-- cap_counters (tenant)
CREATE TABLE cap_counters (
    program_id UUID NOT NULL,
    cap_key TEXT NOT NULL,
    day DATE,
    used BIGINT NOT NULL,
    CONSTRAINT pk_cap_counters PRIMARY KEY (program_id, cap_key),
    CONSTRAINT ck_cap_counters_used CHECK (used >= 0)
);

CREATE INDEX ix_cap_counters_day ON cap_counters (program_id, day) WHERE day is not null;

-- claim_counters (tenant)
CREATE TABLE claim_counters (
    program_id UUID NOT NULL,
    account_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    claims BIGINT NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_claim_counters PRIMARY KEY (program_id, account_id, event_type),
    CONSTRAINT ck_claim_counters_claims CHECK (claims > 0)
);

-- deployment (platform)
CREATE TABLE deployment (
    singleton BOOLEAN DEFAULT true NOT NULL,
    id UUID NOT NULL,
    wallets_fingerprint TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_deployment PRIMARY KEY (singleton),
    CONSTRAINT ck_deployment_singleton CHECK (singleton)
);

-- event_keys (tenant)
CREATE TABLE event_keys (
    program_id UUID NOT NULL,
    key_hash BYTEA NOT NULL,
    event_id UUID NOT NULL,
    body_hash BYTEA NOT NULL,
    operation TEXT NOT NULL,
    CONSTRAINT pk_event_keys PRIMARY KEY (program_id, key_hash)
);

-- events (tenant)
CREATE TABLE events (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    identity TEXT NOT NULL,
    event_type TEXT NOT NULL,
    trust TEXT NOT NULL,
    domain TEXT,
    channel TEXT,
    source_url TEXT,
    client_address TEXT,
    metadata JSONB,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (program_id, id),
    CONSTRAINT ck_events_trust CHECK (trust in ('server', 'browser', 'member', 'operator'))
);

-- gas_spent (platform)
CREATE TABLE gas_spent (
    program_id UUID NOT NULL,
    network TEXT NOT NULL,
    day TEXT NOT NULL,
    wei NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_gas_spent PRIMARY KEY (program_id, network, day),
    CONSTRAINT ck_gas_spent_wei CHECK (wei >= 0)
);

-- idempotent_requests (tenant)
CREATE TABLE idempotent_requests (
    program_id UUID NOT NULL,
    operation TEXT NOT NULL,
    caller TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    body_hash BYTEA NOT NULL,
    status INTEGER NOT NULL,
    response BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotent_requests PRIMARY KEY (program_id, operation, caller, key_hash)
);

-- master_secrets (secret)
CREATE TABLE master_secrets (
    name TEXT NOT NULL,
    envelope BYTEA NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    wrapped_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_master_secrets PRIMARY KEY (name)
);

-- networks (platform)
CREATE TABLE networks (
    name TEXT NOT NULL,
    chain_id BIGINT NOT NULL,
    genesis_hash TEXT,
    block_time_ms BIGINT NOT NULL,
    explorer_url TEXT,
    max_fee_per_gas NUMERIC(78, 0),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_networks PRIMARY KEY (name)
);

-- outbox (shared)
CREATE TABLE outbox (
    id UUID NOT NULL,
    program_id UUID,
    kind TEXT NOT NULL,
    payload JSONB NOT NULL,
    severity TEXT,
    dedupe_key TEXT,
    occurrences INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT ck_outbox_severity CHECK (severity in ('info', 'warning', 'critical'))
);

CREATE UNIQUE INDEX uq_outbox_open_alert ON outbox (kind, dedupe_key) WHERE severity is not null and resolved_at is null;

-- postings (tenant)
CREATE TABLE postings (
    program_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    kind TEXT NOT NULL,
    ref UUID NOT NULL,
    from_bucket TEXT NOT NULL,
    to_bucket TEXT NOT NULL,
    amount BIGINT NOT NULL,
    account_id UUID,
    version BIGINT,
    available_after BIGINT,
    posted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_postings PRIMARY KEY (program_id, asset_id, kind, ref),
    CONSTRAINT ck_postings_amount CHECK (amount > 0),
    CONSTRAINT ck_postings_moves CHECK (from_bucket <> to_bucket),
    CONSTRAINT ck_postings_account CHECK ((account_id is null) = (version is null) and (account_id is null) = (available_after is null))
);

-- wallets (shared)
CREATE TABLE wallets (
    identity_hash BYTEA NOT NULL,
    namespace TEXT NOT NULL,
    address TEXT NOT NULL,
    provider TEXT NOT NULL,
    derivation BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_wallets PRIMARY KEY (identity_hash, namespace)
);

-- work (shared)
CREATE TABLE work (
    kind TEXT NOT NULL,
    program_id UUID NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE,
    claim BIGINT DEFAULT 0 NOT NULL,
    claimed_until TIMESTAMP WITH TIME ZONE,
    claimed_by TEXT,
    attempts INTEGER DEFAULT 0 NOT NULL,
    last_error TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_work PRIMARY KEY (kind, program_id)
);

CREATE INDEX ix_work_claimed_until ON work (claimed_until) WHERE claimed_until is not null;

CREATE INDEX ix_work_due_at ON work (due_at) WHERE due_at is not null;

-- account_balances (tenant)
CREATE TABLE account_balances (
    program_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    account_id UUID NOT NULL,
    earned BIGINT DEFAULT '0' NOT NULL,
    reversed BIGINT DEFAULT '0' NOT NULL,
    claimed BIGINT DEFAULT '0' NOT NULL,
    spent BIGINT DEFAULT '0' NOT NULL,
    expired BIGINT DEFAULT '0' NOT NULL,
    moved BIGINT DEFAULT '0' NOT NULL,
    held BIGINT DEFAULT '0' NOT NULL,
    debt BIGINT DEFAULT '0' NOT NULL,
    available BIGINT GENERATED ALWAYS AS (earned - reversed - claimed - spent - expired - held + moved) STORED NOT NULL,
    version BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_account_balances PRIMARY KEY (program_id, asset_id, account_id),
    CONSTRAINT fk_account_balances_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT ck_account_balances_earned CHECK (earned >= 0),
    CONSTRAINT ck_account_balances_reversed CHECK (reversed >= 0),
    CONSTRAINT ck_account_balances_claimed CHECK (claimed >= 0),
    CONSTRAINT ck_account_balances_spent CHECK (spent >= 0),
    CONSTRAINT ck_account_balances_expired CHECK (expired >= 0),
    CONSTRAINT ck_account_balances_held CHECK (held >= 0),
    CONSTRAINT ck_account_balances_debt CHECK (debt >= 0),
    CONSTRAINT ck_account_balances_available CHECK (available >= 0),
    CONSTRAINT ck_account_balances_debt_is_repaid_first CHECK (debt = 0 or available = 0)
);

-- contracts (platform)
CREATE TABLE contracts (
    network TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    intent_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_contracts PRIMARY KEY (network, name),
    CONSTRAINT fk_contracts_network_networks FOREIGN KEY(network) REFERENCES networks (name)
);

-- deliveries (tenant)
CREATE TABLE deliveries (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    asset_id UUID NOT NULL,
    account_id UUID NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    points BIGINT NOT NULL,
    amount_atomic NUMERIC(78, 0),
    destination TEXT,
    network TEXT,
    batch_id UUID,
    transaction_hash TEXT,
    block_number BIGINT,
    reason TEXT,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_deliveries PRIMARY KEY (program_id, id),
    CONSTRAINT fk_deliveries_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT ck_deliveries_points CHECK (points > 0 or state in ('refused', 'returned')),
    CONSTRAINT ck_deliveries_kind CHECK (kind in ('automatic', 'claim')),
    CONSTRAINT ck_deliveries_bound CHECK (state in ('requested', 'approved', 'in_review', 'refused', 'returned') or (amount_atomic is not null and destination is not null and batch_id is not null))
);

CREATE INDEX ix_deliveries_account ON deliveries (program_id, account_id, id);

CREATE INDEX ix_deliveries_unfinished ON deliveries (program_id, state, id) WHERE state not in ('final', 'refused', 'returned');

CREATE UNIQUE INDEX uq_deliveries_waiting ON deliveries (program_id, asset_id, account_id) WHERE state = 'approved' and kind = 'automatic';

-- keys (secret)
CREATE TABLE keys (
    id UUID NOT NULL,
    network TEXT NOT NULL,
    purpose TEXT NOT NULL,
    address TEXT NOT NULL,
    secret_encrypted BYTEA NOT NULL,
    next_nonce BIGINT DEFAULT '0' NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    pause_reason TEXT,
    resumes_by_itself BOOLEAN DEFAULT false NOT NULL,
    native_balance_wei NUMERIC(78, 0),
    native_balance_at TIMESTAMP WITH TIME ZONE,
    lease_owner TEXT,
    lease_epoch BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_keys PRIMARY KEY (id),
    CONSTRAINT uq_keys_network_address UNIQUE (network, address),
    CONSTRAINT ck_keys_purpose CHECK (purpose in ('deployer', 'treasury', 'minter', 'relayer')),
    CONSTRAINT fk_keys_network_networks FOREIGN KEY(network) REFERENCES networks (name)
);

-- program_balances (tenant)
CREATE TABLE program_balances (
    program_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    funded BIGINT DEFAULT '0' NOT NULL,
    funds BIGINT DEFAULT '0' NOT NULL,
    owed BIGINT DEFAULT '0' NOT NULL,
    debt BIGINT DEFAULT '0' NOT NULL,
    delivered BIGINT DEFAULT '0' NOT NULL,
    burned BIGINT DEFAULT '0' NOT NULL,
    expired BIGINT DEFAULT '0' NOT NULL,
    adjusted BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_program_balances PRIMARY KEY (program_id, asset_id),
    CONSTRAINT fk_program_balances_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT ck_program_balances_funds CHECK (funds >= 0),
    CONSTRAINT ck_program_balances_owed CHECK (owed >= 0),
    CONSTRAINT ck_program_balances_debt CHECK (debt >= 0),
    CONSTRAINT ck_program_balances_delivered CHECK (delivered >= 0),
    CONSTRAINT ck_program_balances_burned CHECK (burned >= 0),
    CONSTRAINT ck_program_balances_expired CHECK (expired >= 0),
    CONSTRAINT ck_program_balances_balanced CHECK (funded = funds + owed + debt + delivered + burned + expired + adjusted)
);

-- programs (reference)
CREATE TABLE programs (
    id UUID NOT NULL,
    brand_id TEXT NOT NULL,
    name TEXT NOT NULL,
    asset_id UUID NOT NULL,
    automation_enabled BOOLEAN DEFAULT true NOT NULL,
    unsigned_reports BOOLEAN DEFAULT false NOT NULL,
    unsigned_lookups BOOLEAN DEFAULT false NOT NULL,
    reversal_policy TEXT DEFAULT 'within_balance' NOT NULL,
    synthetic_domain TEXT,
    browser_cap_program BIGINT,
    browser_cap_account BIGINT,
    browser_cap_ip BIGINT,
    gas_budget_wei NUMERIC(78, 0),
    config_version BIGINT DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_programs PRIMARY KEY (id),
    CONSTRAINT ck_programs_brand_id CHECK (brand_id ~ '^0x[0-9a-f]{40}$'),
    CONSTRAINT ck_programs_reversal_policy CHECK (reversal_policy in ('pending_only', 'within_balance', 'debt')),
    CONSTRAINT uq_programs_brand_id UNIQUE (brand_id),
    CONSTRAINT fk_programs_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id)
);

-- reversals (tenant)
CREATE TABLE reversals (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    event_id UUID NOT NULL,
    account_id UUID NOT NULL,
    points BIGINT NOT NULL,
    from_pending BIGINT NOT NULL,
    from_available BIGINT NOT NULL,
    as_debt BIGINT NOT NULL,
    written_off BIGINT NOT NULL,
    reason TEXT NOT NULL,
    reversed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_reversals PRIMARY KEY (program_id, id),
    CONSTRAINT fk_reversals_program_id_event_id_events FOREIGN KEY(program_id, event_id) REFERENCES events (program_id, id),
    CONSTRAINT ck_reversals_points CHECK (points > 0),
    CONSTRAINT ck_reversals_adds_up CHECK (points = from_pending + from_available + as_debt + written_off)
);

CREATE INDEX ix_reversals_event ON reversals (program_id, event_id);

-- accounts (tenant)
CREATE TABLE accounts (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    wallet_address TEXT NOT NULL,
    reported_wallet TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (program_id, id),
    CONSTRAINT fk_accounts_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

-- admin_keys (platform)
CREATE TABLE admin_keys (
    id UUID NOT NULL,
    secret_hash BYTEA NOT NULL,
    role TEXT NOT NULL,
    program_id UUID,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_admin_keys PRIMARY KEY (id),
    CONSTRAINT ck_admin_keys_role CHECK (role in ('platform', 'program')),
    CONSTRAINT ck_admin_keys_scope CHECK ((role = 'platform') = (program_id is null)),
    CONSTRAINT fk_admin_keys_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

-- fundings (platform)
CREATE TABLE fundings (
    id UUID NOT NULL,
    program_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    points BIGINT NOT NULL,
    amount_atomic NUMERIC(78, 0) NOT NULL,
    network TEXT NOT NULL,
    intent_id UUID,
    transaction_hash TEXT,
    log_index BIGINT,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_fundings PRIMARY KEY (id),
    CONSTRAINT ck_fundings_points CHECK (points > 0),
    CONSTRAINT ck_fundings_kind CHECK (kind in ('mint', 'deposit')),
    CONSTRAINT ck_fundings_state CHECK (state in ('pending', 'booked', 'failed')),
    CONSTRAINT fk_fundings_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id),
    CONSTRAINT fk_fundings_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id)
);

CREATE INDEX ix_fundings_pending ON fundings (created_at) WHERE state = 'pending';

CREATE UNIQUE INDEX uq_fundings_transfer ON fundings (network, transaction_hash, log_index) WHERE kind = 'deposit' and state <> 'failed';

-- intents (platform)
CREATE TABLE intents (
    id UUID NOT NULL,
    key_id UUID NOT NULL,
    network TEXT NOT NULL,
    kind TEXT NOT NULL,
    ref UUID,
    work_kind TEXT,
    to_address TEXT,
    data BYTEA NOT NULL,
    value_wei NUMERIC(78, 0) NOT NULL,
    gas_limit BIGINT,
    state TEXT NOT NULL,
    held_back TEXT,
    held_until TIMESTAMP WITH TIME ZONE,
    held_times BIGINT DEFAULT '0' NOT NULL,
    kill_requested_at TIMESTAMP WITH TIME ZONE,
    nonce BIGINT,
    transaction_hash TEXT,
    block_number BIGINT,
    block_hash TEXT,
    succeeded BOOLEAN,
    gas_used BIGINT,
    fee_paid_wei NUMERIC(78, 0),
    contract_address TEXT,
    error TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_intents PRIMARY KEY (id),
    CONSTRAINT ck_intents_state CHECK (state in ('queued', 'bound', 'signed', 'sent', 'included', 'final', 'failed', 'void', 'unknown')),
    CONSTRAINT ck_intents_bound CHECK (nonce is not null or state in ('queued', 'void')),
    CONSTRAINT ck_intents_landed CHECK (block_number is not null or state not in ('included', 'final', 'failed')),
    CONSTRAINT ck_intents_held_back CHECK (held_back is null or state = 'queued'),
    CONSTRAINT fk_intents_key_id_keys FOREIGN KEY(key_id) REFERENCES keys (id),
    CONSTRAINT fk_intents_network_networks FOREIGN KEY(network) REFERENCES networks (name)
);

CREATE INDEX ix_intents_included ON intents (key_id, nonce) WHERE state = 'included';

CREATE INDEX ix_intents_queued ON intents (key_id, id) WHERE state = 'queued';

CREATE INDEX ix_intents_unfinished ON intents (key_id, id) WHERE state not in ('final', 'failed', 'void');

CREATE UNIQUE INDEX uq_intents_ref ON intents (kind, ref) WHERE ref is not null;

-- program_domains (reference)
CREATE TABLE program_domains (
    program_id UUID NOT NULL,
    domain TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_program_domains PRIMARY KEY (program_id, domain),
    CONSTRAINT fk_program_domains_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

-- program_keys (tenant)
CREATE TABLE program_keys (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    secret_encrypted BYTEA NOT NULL,
    hint TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_program_keys PRIMARY KEY (program_id, id),
    CONSTRAINT fk_program_keys_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

-- rules (tenant)
CREATE TABLE rules (
    program_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    asset_id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    category TEXT NOT NULL,
    reward BIGINT NOT NULL,
    unit_field TEXT,
    unit_size BIGINT,
    unit_min BIGINT,
    unit_max BIGINT,
    max_claims_per_user BIGINT NOT NULL,
    max_claims_total BIGINT NOT NULL,
    cooldown_hours BIGINT NOT NULL,
    enabled BOOLEAN NOT NULL,
    open_to_browsers BOOLEAN NOT NULL,
    requires_email BOOLEAN NOT NULL,
    channels TEXT[] DEFAULT '{}' NOT NULL,
    detection JSONB DEFAULT '[]' NOT NULL,
    daily_cap_account BIGINT,
    daily_cap_ip BIGINT,
    daily_cap_program BIGINT,
    is_custom BOOLEAN NOT NULL,
    version BIGINT DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rules PRIMARY KEY (program_id, event_type),
    CONSTRAINT fk_rules_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id),
    CONSTRAINT fk_rules_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT ck_rules_event_type CHECK (event_type ~ '^[A-Za-z0-9_]{1,50}$'),
    CONSTRAINT ck_rules_reward CHECK (reward >= 0),
    CONSTRAINT ck_rules_unit CHECK ((unit_field is null) = (unit_size is null) and (unit_size is null or unit_size > 0)),
    CONSTRAINT ck_rules_max_claims_per_user CHECK (max_claims_per_user = -1 or max_claims_per_user > 0),
    CONSTRAINT ck_rules_max_claims_total CHECK (max_claims_total = -1 or max_claims_total > 0),
    CONSTRAINT ck_rules_cooldown_hours CHECK (cooldown_hours >= 0),
    CONSTRAINT ck_rules_no_amount_from_browsers CHECK (unit_field is null or not open_to_browsers)
);

-- treasuries (platform)
CREATE TABLE treasuries (
    id UUID NOT NULL,
    network TEXT NOT NULL,
    asset_id UUID NOT NULL,
    key_id UUID NOT NULL,
    address TEXT NOT NULL,
    balance_final NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    balance_block BIGINT DEFAULT '0' NOT NULL,
    reserved NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    low_balance NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    period_limit NUMERIC(78, 0),
    period_seconds BIGINT,
    period_started_at TIMESTAMP WITH TIME ZONE,
    period_reserved NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    pause_reason TEXT,
    resumes_by_itself BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_treasuries PRIMARY KEY (id),
    CONSTRAINT uq_treasuries_network_asset_id UNIQUE (network, asset_id),
    CONSTRAINT ck_treasuries_reserved CHECK (reserved >= 0),
    CONSTRAINT ck_treasuries_period CHECK ((period_limit is null) = (period_seconds is null)),
    CONSTRAINT fk_treasuries_network_networks FOREIGN KEY(network) REFERENCES networks (name),
    CONSTRAINT fk_treasuries_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT fk_treasuries_key_id_keys FOREIGN KEY(key_id) REFERENCES keys (id)
);

-- attempts (platform)
CREATE TABLE attempts (
    intent_id UUID NOT NULL,
    number BIGINT NOT NULL,
    network TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    raw BYTEA NOT NULL,
    hash TEXT NOT NULL,
    gas_limit BIGINT NOT NULL,
    max_fee_per_gas NUMERIC(78, 0) NOT NULL,
    max_priority_fee_per_gas NUMERIC(78, 0) NOT NULL,
    lease_epoch BIGINT NOT NULL,
    kills BOOLEAN DEFAULT false NOT NULL,
    signed_block BIGINT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    CONSTRAINT pk_attempts PRIMARY KEY (intent_id, number),
    CONSTRAINT uq_attempts_network_hash UNIQUE (network, hash),
    CONSTRAINT fk_attempts_intent_id_intents FOREIGN KEY(intent_id) REFERENCES intents (id)
);

-- batches (platform)
CREATE TABLE batches (
    id UUID NOT NULL,
    treasury_id UUID NOT NULL,
    state TEXT NOT NULL,
    size BIGINT DEFAULT '0' NOT NULL,
    total_atomic NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    chain_batch_id TEXT,
    supersedes TEXT[] DEFAULT '{}' NOT NULL,
    intent_id UUID,
    delivery_state TEXT,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    frozen_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_batches PRIMARY KEY (id),
    CONSTRAINT ck_batches_state CHECK (state in ('open', 'closed', 'frozen', 'paid', 'dissolved')),
    CONSTRAINT ck_batches_frozen CHECK (state in ('open', 'closed') or size = 0 or chain_batch_id is not null),
    CONSTRAINT fk_batches_treasury_id_treasuries FOREIGN KEY(treasury_id) REFERENCES treasuries (id),
    CONSTRAINT fk_batches_intent_id_intents FOREIGN KEY(intent_id) REFERENCES intents (id)
);

CREATE INDEX ix_batches_intent ON batches (intent_id);

CREATE INDEX ix_batches_unfinished ON batches (treasury_id, id) WHERE state in ('open', 'closed', 'frozen');

CREATE UNIQUE INDEX uq_batches_open ON batches (treasury_id) WHERE state = 'open';

-- identities (tenant)
CREATE TABLE identities (
    program_id UUID NOT NULL,
    identity TEXT NOT NULL,
    account_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_identities PRIMARY KEY (program_id, identity),
    CONSTRAINT fk_identities_program_id_account_id_accounts FOREIGN KEY(program_id, account_id) REFERENCES accounts (program_id, id)
);

CREATE INDEX ix_identities_account ON identities (program_id, account_id);

-- nonces (platform)
CREATE TABLE nonces (
    network TEXT NOT NULL,
    key_id UUID NOT NULL,
    nonce BIGINT NOT NULL,
    intent_id UUID NOT NULL,
    bound_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_nonces PRIMARY KEY (network, key_id, nonce),
    CONSTRAINT fk_nonces_key_id_keys FOREIGN KEY(key_id) REFERENCES keys (id),
    CONSTRAINT fk_nonces_intent_id_intents FOREIGN KEY(intent_id) REFERENCES intents (id)
);

-- batch_members (platform)
CREATE TABLE batch_members (
    batch_id UUID NOT NULL,
    program_id UUID NOT NULL,
    delivery_id UUID NOT NULL,
    destination TEXT NOT NULL,
    amount_atomic NUMERIC(78, 0) NOT NULL,
    gas_reserved_wei NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    settled BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_batch_members PRIMARY KEY (batch_id, program_id, delivery_id),
    CONSTRAINT ck_batch_members_amount CHECK (amount_atomic > 0),
    CONSTRAINT fk_batch_members_batch_id_batches FOREIGN KEY(batch_id) REFERENCES batches (id)
);

CREATE INDEX ix_batch_members_delivery ON batch_members (program_id, delivery_id);
