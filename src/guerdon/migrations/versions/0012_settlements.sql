-- sources (joint)
CREATE TABLE sources (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    facilitator_id TEXT,
    signers JSONB NOT NULL,
    network_names JSONB DEFAULT '{}' NOT NULL,
    reads_chain BOOLEAN DEFAULT false NOT NULL,
    location_encrypted BYTEA,
    cursor JSONB DEFAULT '{}' NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    last_report_at TIMESTAMP WITH TIME ZONE,
    read_at TIMESTAMP WITH TIME ZONE,
    read_error TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sources PRIMARY KEY (program_id, id),
    CONSTRAINT ck_sources_kind CHECK (kind in ('openfacilitator', 'standard_webhooks', 'x402', 'x402layer', 'sqlite', 'postgres', 'chain')),
    CONSTRAINT uq_sources_program_id_name UNIQUE (program_id, name)
);

CREATE INDEX ix_sources_id ON sources (id);

-- source_secrets (tenant)
CREATE TABLE source_secrets (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    source_id UUID NOT NULL,
    secret_encrypted BYTEA NOT NULL,
    hint TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_source_secrets PRIMARY KEY (program_id, id),
    CONSTRAINT fk_source_secrets_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

CREATE INDEX ix_source_secrets_source ON source_secrets (program_id, source_id);

-- settlement_assets (platform)
CREATE TABLE settlement_assets (
    network TEXT NOT NULL,
    address TEXT NOT NULL,
    symbol TEXT NOT NULL,
    decimals BIGINT NOT NULL,
    micro_usd_per_token BIGINT NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_settlement_assets PRIMARY KEY (network, address),
    CONSTRAINT ck_settlement_assets_decimals CHECK (decimals between 0 and 36),
    CONSTRAINT ck_settlement_assets_peg CHECK (micro_usd_per_token > 0),
    CONSTRAINT fk_settlement_assets_network_networks FOREIGN KEY(network) REFERENCES networks (name)
);

-- settlement_hints (tenant)
CREATE TABLE settlement_hints (
    program_id UUID NOT NULL,
    source_id UUID NOT NULL,
    network TEXT NOT NULL,
    transaction_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT,
    reported JSONB DEFAULT '{}' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_settlement_hints PRIMARY KEY (program_id, source_id, network, transaction_hash),
    CONSTRAINT ck_settlement_hints_state CHECK (state in ('waiting', 'watching', 'proven', 'nothing', 'rejected'))
);

CREATE INDEX ix_settlement_hints_due ON settlement_hints (program_id, due_at) WHERE state in ('waiting', 'watching');

CREATE INDEX ix_settlement_hints_over ON settlement_hints (program_id, updated_at) WHERE state in ('proven', 'nothing', 'rejected');

-- settlements (tenant)
CREATE TABLE settlements (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    network TEXT NOT NULL,
    transaction_hash TEXT NOT NULL,
    place BIGINT NOT NULL,
    source_id UUID NOT NULL,
    asset_address TEXT NOT NULL,
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    amount_atomic NUMERIC(78, 0) NOT NULL,
    volume_micro_usd BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    block_hash TEXT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL,
    account_id UUID,
    credited_at TIMESTAMP WITH TIME ZONE,
    why_not TEXT,
    found_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_settlements PRIMARY KEY (program_id, id),
    CONSTRAINT ck_settlements_state CHECK (state in ('included', 'final', 'reorganised')),
    CONSTRAINT ck_settlements_amount CHECK (amount_atomic > 0),
    CONSTRAINT ck_settlements_volume CHECK (volume_micro_usd >= 0)
);

CREATE INDEX ix_settlements_account ON settlements (program_id, account_id, settled_at) WHERE account_id is not null;

CREATE INDEX ix_settlements_included ON settlements (program_id, network, block_number) WHERE state = 'included';

CREATE INDEX ix_settlements_payee ON settlements (program_id, payee, settled_at);

CREATE INDEX ix_settlements_payer ON settlements (program_id, payer, settled_at);

CREATE INDEX ix_settlements_reorganised ON settlements (program_id, transaction_hash) WHERE state = 'reorganised';

CREATE UNIQUE INDEX uq_settlements_payment ON settlements (program_id, transaction_hash, place) WHERE state <> 'reorganised';

-- settlement_marks (tenant)
CREATE TABLE settlement_marks (
    program_id UUID NOT NULL,
    proofs_until TIMESTAMP WITH TIME ZONE NOT NULL,
    thresholds JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_settlement_marks PRIMARY KEY (program_id),
    CONSTRAINT fk_settlement_marks_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);

-- settlement_flags (tenant)
CREATE TABLE settlement_flags (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    settlement_id UUID NOT NULL,
    pattern TEXT NOT NULL,
    evidence JSONB NOT NULL,
    verdict TEXT,
    decided_by TEXT,
    note TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    flagged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_settlement_flags PRIMARY KEY (program_id, id),
    CONSTRAINT ck_settlement_flags_verdict CHECK (verdict in ('approved', 'rejected'))
);

CREATE INDEX ix_settlement_flags_open ON settlement_flags (program_id, id) WHERE verdict is null;

CREATE UNIQUE INDEX uq_settlement_flags_pattern ON settlement_flags (program_id, settlement_id, pattern);

-- denied_addresses (tenant)
CREATE TABLE denied_addresses (
    program_id UUID NOT NULL,
    address TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_denied_addresses PRIMARY KEY (program_id, address),
    CONSTRAINT fk_denied_addresses_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id)
);
