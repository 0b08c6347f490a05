CREATE TABLE volume_terms (
    program_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    points_per_unit BIGINT NOT NULL,
    unit_micro_usd BIGINT NOT NULL,
    credit TEXT NOT NULL,
    backdate_days BIGINT NOT NULL,
    holding_seconds BIGINT NOT NULL,
    min_volume_micro_usd BIGINT NOT NULL,
    tiers JSONB NOT NULL,
    window_days BIGINT NOT NULL,
    grace_days BIGINT NOT NULL,
    downgrade TEXT NOT NULL,
    cap_account BIGINT,
    cap_payer BIGINT,
    cap_program BIGINT,
    expire_after_days BIGINT,
    expire_idle_days BIGINT,
    warn_days BIGINT NOT NULL,
    version BIGINT DEFAULT '1' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_volume_terms PRIMARY KEY (program_id),
    CONSTRAINT fk_volume_terms_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id),
    CONSTRAINT fk_volume_terms_asset_id_assets FOREIGN KEY(asset_id) REFERENCES assets (id),
    CONSTRAINT ck_volume_terms_rate CHECK (points_per_unit >= 0 and unit_micro_usd > 0),
    CONSTRAINT ck_volume_terms_credit CHECK (credit in ('payer', 'payee')),
    CONSTRAINT ck_volume_terms_downgrade CHECK (downgrade in ('drop', 'one_step')),
    CONSTRAINT ck_volume_terms_times CHECK (least(backdate_days, holding_seconds, min_volume_micro_usd, grace_days, warn_days) >= 0),
    CONSTRAINT ck_volume_terms_window_days CHECK (window_days > 0)
);

CREATE TABLE account_volumes (
    program_id UUID NOT NULL,
    account_id UUID NOT NULL,
    day DATE NOT NULL,
    volume_micro_usd BIGINT NOT NULL,
    settlements BIGINT NOT NULL,
    CONSTRAINT pk_account_volumes PRIMARY KEY (program_id, account_id, day),
    CONSTRAINT ck_account_volumes_not_negative CHECK (volume_micro_usd >= 0 and settlements >= 0)
);

CREATE TABLE point_fractions (
    program_id UUID NOT NULL,
    account_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    millionths NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_point_fractions PRIMARY KEY (program_id, account_id, asset_id)
);

CREATE TABLE volume_caps (
    program_id UUID NOT NULL,
    day DATE NOT NULL,
    subject TEXT NOT NULL,
    used NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_volume_caps PRIMARY KEY (program_id, day, subject),
    CONSTRAINT ck_volume_caps_used CHECK (used >= 0)
);

CREATE TABLE campaigns (
    program_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    type TEXT NOT NULL,
    facilitator_id TEXT,
    config JSONB NOT NULL,
    start_at TIMESTAMP WITH TIME ZONE NOT NULL,
    end_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    frozen_at TIMESTAMP WITH TIME ZONE,
    paid_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_campaigns PRIMARY KEY (program_id, id),
    CONSTRAINT fk_campaigns_program_id_programs FOREIGN KEY(program_id) REFERENCES programs (id),
    CONSTRAINT ck_campaigns_type CHECK (type in ('multiplier', 'bonus', 'threshold', 'pool')),
    CONSTRAINT ck_campaigns_state CHECK (state in ('draft', 'published', 'paused', 'ended')),
    CONSTRAINT ck_campaigns_dates CHECK (start_at < end_at),
    CONSTRAINT ck_campaigns_version CHECK ((state = 'draft') = (version = 0))
);

CREATE INDEX ix_campaigns_to_freeze ON campaigns (program_id, end_at) WHERE type = 'pool' and paid_at is null;

CREATE TABLE campaign_versions (
    program_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    facilitator_id TEXT,
    config JSONB NOT NULL,
    start_at TIMESTAMP WITH TIME ZONE NOT NULL,
    end_at TIMESTAMP WITH TIME ZONE NOT NULL,
    effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_campaign_versions PRIMARY KEY (program_id, campaign_id, version),
    CONSTRAINT fk_campaign_versions_program_id_campaign_id_campaigns FOREIGN KEY(program_id, campaign_id) REFERENCES campaigns (program_id, id)
);

CREATE TABLE campaign_counters (
    program_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    spent NUMERIC(78, 0) DEFAULT '0' NOT NULL,
    participants BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_campaign_counters PRIMARY KEY (program_id, campaign_id),
    CONSTRAINT fk_campaign_counters_program_id_campaign_id_campaigns FOREIGN KEY(program_id, campaign_id) REFERENCES campaigns (program_id, id),
    CONSTRAINT ck_campaign_counters_not_negative CHECK (spent >= 0 and participants >= 0)
);

CREATE TABLE campaign_accounts (
    program_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    account_id UUID NOT NULL,
    spent NUMERIC(78, 0) NOT NULL,
    volume_micro_usd NUMERIC(78, 0) NOT NULL,
    settlements BIGINT NOT NULL,
    weight NUMERIC(78, 0) NOT NULL,
    joined BOOLEAN NOT NULL,
    reached JSONB NOT NULL,
    CONSTRAINT pk_campaign_accounts PRIMARY KEY (program_id, campaign_id, account_id),
    CONSTRAINT ck_campaign_accounts_not_negative CHECK (least(spent, volume_micro_usd, settlements, weight) >= 0)
);

CREATE TABLE campaign_payers (
    program_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    payer TEXT NOT NULL,
    spent NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_campaign_payers PRIMARY KEY (program_id, campaign_id, payer),
    CONSTRAINT ck_campaign_payers_spent CHECK (spent >= 0)
);

CREATE TABLE pool_shares (
    program_id UUID NOT NULL,
    campaign_id UUID NOT NULL,
    account_id UUID NOT NULL,
    id UUID NOT NULL,
    points BIGINT NOT NULL,
    weight NUMERIC(78, 0) NOT NULL,
    paid_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_pool_shares PRIMARY KEY (program_id, campaign_id, account_id),
    CONSTRAINT fk_pool_shares_program_id_campaign_id_campaigns FOREIGN KEY(program_id, campaign_id) REFERENCES campaigns (program_id, id),
    CONSTRAINT ck_pool_shares_points CHECK (points > 0)
);

CREATE INDEX ix_pool_shares_unpaid ON pool_shares (program_id, campaign_id, account_id) WHERE paid_at is null;

CREATE TABLE expiry_warnings (
    program_id UUID NOT NULL,
    account_id UUID NOT NULL,
    asset_id UUID NOT NULL,
    basis TEXT NOT NULL,
    warned_on DATE NOT NULL,
    cutoff TIMESTAMP WITH TIME ZONE NOT NULL,
    points BIGINT NOT NULL,
    CONSTRAINT pk_expiry_warnings PRIMARY KEY (program_id, account_id, asset_id, basis, warned_on),
    CONSTRAINT ck_expiry_warnings_basis CHECK (basis in ('age', 'idle'))
);
