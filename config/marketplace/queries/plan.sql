-- One plan, with the benefits of its standard and its cost-sharing variants.
select p.plan_id, p.plan_year, p.state, p.issuer_id, i.issuer_name, p.plan_name, p.metal_level, p.plan_type,
  p.child_only_offering, p.network_url, p.brochure_url, p.sbc_url, p.formulary_url,
  (
    select json_object_agg(v.variant, v.costs order by v.variant)
    from (
      select b.variant, json_object_agg(b.benefit, b.cost_text order by b.benefit) as costs
      from plan_benefits b
      where b.plan_id = :plan_id::text and b.plan_year = :year::int
      group by b.variant
    ) v
  ) as benefits
from plans p
join issuers i on i.issuer_id = p.issuer_id
where p.plan_id = :plan_id::text and p.plan_year = :year::int
